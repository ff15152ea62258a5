using System.Buffers;
using System.Text.Json;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Wire;

/// <summary>What a body that did not say so turns out to be.</summary>
internal enum BodyForm
{
    /// <summary>One value.</summary>
    Single,

    /// <summary>An array of entries.</summary>
    Array,

    /// <summary>One entry a line.</summary>
    Lines,
}

/// <summary>Tells the forms of a body apart.</summary>
internal static class BatchForm
{
    /// <summary>Where an element of an array stands in the body.</summary>
    public readonly record struct Element(long Start, long Length);

    /// <summary>The form of <paramref name="body"/>, and the elements if it is an array.</summary>
    /// <exception cref="ProblemException">It is an array, and not valid JSON.</exception>
    public static BodyForm Of(in ReadOnlySequence<byte> body, out List<Element> elements)
    {
        elements = [];
        var reader = new Utf8JsonReader(body);
        try
        {
            if (reader.Read() && reader.TokenType == JsonTokenType.StartArray)
            {
                ReadElements(ref reader, elements);
                return BodyForm.Array;
            }

            return StartsWithLine(body) ? BodyForm.Lines : BodyForm.Single;
        }
        catch (JsonException e)
        {
            throw new ProblemException(ProblemCode.JsonInvalid, JsonPlace.Words(e), JsonPlace.Of(e));
        }
    }

    private static void ReadElements(ref Utf8JsonReader reader, List<Element> elements)
    {
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var start = reader.TokenStartIndex;
            reader.Skip();
            elements.Add(new(start, reader.BytesConsumed - start));
        }

        // Finds what stands behind the array.
        reader.Read();
    }

    /// <summary>Whether the first line is an object in itself and something follows it.</summary>
    private static bool StartsWithLine(in ReadOnlySequence<byte> body)
    {
        if (body.PositionOf((byte)'\n') is not { } end)
        {
            return false;
        }

        try
        {
            var line = new Utf8JsonReader(body.Slice(0, end));
            line.Read();
            line.Skip();
            line.Read();
        }
        catch (JsonException)
        {
            return false;
        }

        foreach (var segment in body.Slice(end))
        {
            if (segment.Span.IndexOfAnyExcept(" \t\r\n"u8) >= 0)
            {
                return true;
            }
        }

        return false;
    }
}
