using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace RecBackend.Bench.Cluster;

/// <summary>Items of made-up words, the same ones in every run: number by number, so that a million of them need no memory.</summary>
internal sealed class SyntheticItems(int textLength)
{
    private const int Words = 5_000;
    private const int Categories = 50;

    private static readonly string[] Vocabulary = MakeVocabulary();

    /// <summary>ID of the item of a number.</summary>
    public static string Id(long number) => string.Create(CultureInfo.InvariantCulture, $"item-{number:D8}");

    /// <summary>The item as a line of NDJSON, with its line feed.</summary>
    public void WriteLine(long number, ArrayBufferWriter<byte> lines)
    {
        var random = new Random((int)number);
        using (var json = new Utf8JsonWriter(lines))
        {
            json.WriteStartObject();
            json.WriteString("id", Id(number));
            json.WriteString("title", $"{Word(random)} {Word(random)} {Word(random)}");
            if (textLength > 0)
            {
                json.WriteString("text", Text(random));
            }

            json.WriteStartArray("categories");
            json.WriteStringValue(string.Create(CultureInfo.InvariantCulture, $"category-{random.Next(Categories)}"));
            json.WriteEndArray();
            json.WriteEndObject();
        }

        lines.Write("\n"u8);
    }

    private string Text(Random random)
    {
        var text = new System.Text.StringBuilder(textLength + 16);
        while (text.Length < textLength)
        {
            text.Append(Word(random)).Append(' ');
        }

        return text.ToString(0, textLength);
    }

    // Few words make up most of a text, as in a language.
    private static string Word(Random random) => Vocabulary[(int)(Words * Math.Pow(random.NextDouble(), 3))];

    private static string[] MakeVocabulary()
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, Words).Select(_ => new string([.. Enumerable.Range(0, random.Next(2, 11)).Select(_ => (char)('a' + random.Next(26)))]))];
    }
}
