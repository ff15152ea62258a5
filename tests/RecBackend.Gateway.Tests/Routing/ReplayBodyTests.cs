using RecBackend.Gateway.Routing;
using Xunit.Abstractions;

namespace RecBackend.Gateway.Tests.Routing;

public sealed class ReplayBodyTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Second_reading_gives_the_same_bytes_wherever_the_first_one_ended()
    {
        var seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (var round = 0; round < 500; round++)
        {
            var content = new byte[random.Next(0, 5_000)];
            random.NextBytes(content);
            await using var body = new ReplayBody(new MemoryStream(content), random.Next(2) * content.Length, limit: 5_000);
            for (var attempt = 0; attempt < 2; attempt++)
            {
                var until = random.Next(content.Length + 1);
                Assert.Equal(content[..until], await ReadAsync(body, until, random));
                body.Rewind();
            }

            Assert.Equal(content, await ReadAsync(body, content.Length, random));
            Assert.Equal(0, await body.ReadAsync(new byte[10]));
            Assert.True(body.IsWhole);
        }
    }

    [Fact]
    public async Task Body_beyond_the_limit_is_read_once()
    {
        var content = Enumerable.Range(0, 1_001).Select(i => (byte)i).ToArray();
        await using var body = new ReplayBody(new MemoryStream(content), expected: 0, limit: 1_000);
        Assert.Equal(content[..1_000], await ReadAsync(body, 1_000, new Random(1)));
        Assert.True(body.IsWhole);
        Assert.Equal(content[1_000..], await ReadAsync(body, 1, new Random(1)));
        Assert.False(body.IsWhole);
        Assert.Throws<InvalidOperationException>(body.Rewind);
    }

    private static async Task<byte[]> ReadAsync(ReplayBody body, int count, Random random)
    {
        var read = new byte[count];
        for (var done = 0; done < count;)
        {
            var step = await body.ReadAsync(read.AsMemory(done, Math.Min(count - done, random.Next(0, 700))));
            done += step;
        }

        return read;
    }
}
