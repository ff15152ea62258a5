using System.Globalization;
using System.Text;
using RecBackend.Http.Ranking;
using Xunit.Abstractions;

namespace RecBackend.Http.Tests.Ranking;

public class Utf8BufferTests(ITestOutputHelper output)
{
    [Fact]
    public void Number_reads_back_as_the_same_float()
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        float[] edges = [0, 1, -1, 0.5f, 1f / 16, 1f / 1024, MathF.BitDecrement(1), MathF.BitDecrement(1f / 16), MathF.BitDecrement(1f / 1024), float.MaxValue, float.Epsilon];
        var scores = Enumerable.Range(0, 200_000).Select(_ => BitConverter.Int32BitsToSingle(random.Next(0x3A000000, 0x3F900000)));
        foreach (var value in edges.Concat(scores))
        {
            Assert.Equal(value, float.Parse(Written(value), CultureInfo.InvariantCulture));
        }
    }

    [Theory]
    [InlineData(0.5f, "0.5")]
    [InlineData(0.0625f, "0.0625")]
    [InlineData(0.01f, "0.00999999978")]
    [InlineData(1f, "1")]
    [InlineData(float.NaN, "null")]
    public void Number_is_JSON(float value, string text) => Assert.Equal(text, Written(value));

    private static string Written(float value)
    {
        var buffer = new Utf8Buffer(capacity: 1);
        buffer.AppendNumber(value);
        return Encoding.UTF8.GetString(buffer.Written);
    }
}
