using System.Text;
using System.Text.Json;
using RecBackend.Scoring.Text;

namespace RecBackend.Scoring.Tests.Text;

public sealed class BytePairTokenizerTests
{
    private static readonly JsonElement Vectors = JsonDocument.Parse(File.ReadAllBytes(Golden.Path("tokenizer.json"))).RootElement;
    private static readonly BytePairTokenizer Tokenizer = new([.. Vectors.GetProperty("merges").EnumerateArray().Select(pair => (pair[0].GetInt32(), pair[1].GetInt32()))]);

    [Fact]
    public void Ids_are_those_of_training()
    {
        var texts = Vectors.GetProperty("texts").EnumerateArray().ToList();
        var ids = new long[100_000];

        Assert.True(texts.Count >= 1000);
        foreach (var vector in texts)
        {
            var text = vector.GetProperty("text").GetString()!;
            var expected = vector.GetProperty("ids").EnumerateArray().Select(id => id.GetInt64()).ToArray();

            Assert.Equal(expected, ids[..Tokenizer.Encode(text, ids)]);
            Assert.Equal(expected, ids[..Tokenizer.Encode(Encoding.UTF8.GetBytes(text), ids)]);
        }
    }

    [Fact]
    public void Documents_are_those_of_training()
    {
        foreach (var vector in Vectors.GetProperty("documents").EnumerateArray())
        {
            var parts = vector.GetProperty("parts").EnumerateArray().Select(part => part.GetString()).ToArray();
            var expected = vector.GetProperty("ids").EnumerateArray().Select(id => id.GetInt64()).ToArray();
            var ids = Enumerable.Repeat(-1L, vector.GetProperty("length").GetInt32()).ToArray();

            Tokenizer.EncodeDocument(parts, ids);

            Assert.Equal(expected, ids);
        }
    }

    [Fact]
    public void Cut_ids_are_the_first_of_all()
    {
        var all = new long[1000];
        foreach (var vector in Vectors.GetProperty("texts").EnumerateArray())
        {
            var text = vector.GetProperty("text").GetString()!;
            var count = Math.Min(Tokenizer.Encode(text, all), 20);
            var cut = new long[count];

            Assert.Equal(count, Tokenizer.Encode(text, cut));
            Assert.Equal(all[..count], cut);
        }
    }

    [Fact]
    public void Long_words_merge_as_short_ones_do()
    {
        const int Seed = 3;
        var random = new Random(Seed);
        for (var round = 0; round < 2000; round++)
        {
            // Few letters make many pairs overlap, as in "aaaa".
            var letters = random.Next(1, 6);
            var word = Enumerable.Range(0, random.Next(1, 60)).Select(_ => 3 + 'a' + random.Next(letters)).ToArray();
            var merges = new List<(int, int)>();
            for (var rank = 0; rank < 20; rank++)
            {
                merges.Add((Part(rank), Part(rank)));
            }

            var tokenizer = new BytePairTokenizer(merges);
            var (scanned, queued) = (word.ToArray(), word.ToArray());

            Assert.Equal(scanned[..tokenizer.MergeByScan(scanned)], queued[..tokenizer.MergeByQueue(queued)]);

            int Part(int rank) => rank > 0 && random.Next(2) == 0 ? 259 + random.Next(rank) : 3 + 'a' + random.Next(letters);
        }
    }

    [Fact]
    public void Megabyte_without_a_space_is_encoded()
    {
        // In a quadratic merge this takes the better part of an hour, and a test run has a time limit.
        var ids = new long[64];

        Assert.Equal(64, Tokenizer.Encode(new string('字', 350_000), ids));
        Assert.Equal(64, Tokenizer.Encode(new string('a', 1_000_000), ids));
    }

    [Fact]
    public void Encoding_short_words_allocates_nothing()
    {
        var text = Encoding.UTF8.GetBytes("The quick brown fox; it jumps over 13 lazy dogs!");
        var ids = new long[64];
        Tokenizer.Encode(text, ids);

        var before = GC.GetAllocatedBytesForCurrentThread();
        Tokenizer.Encode(text, ids);

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("")]
    [InlineData("{\"format\":2,\"merges\":[]}")]
    [InlineData("{\"format\":1}")]
    [InlineData("{\"format\":1,\"merges\":[[100]]}")]
    [InlineData("{\"format\":1,\"merges\":[[100,2]]}")]
    [InlineData("{\"format\":1,\"merges\":[[100,259]]}")]
    [InlineData("{\"format\":1,\"merges\":[null]}")]
    public void File_that_is_no_tokenizer_is_refused(string json) =>
        Assert.Throws<InvalidDataException>(() => BytePairTokenizer.Parse(Encoding.UTF8.GetBytes(json)));
}
