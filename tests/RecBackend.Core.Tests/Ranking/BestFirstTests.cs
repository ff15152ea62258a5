using RecBackend.Core.Items;
using RecBackend.Core.Ranking;
using Xunit.Abstractions;

namespace RecBackend.Core.Tests.Ranking;

public class BestFirstTests(ITestOutputHelper output)
{
    private static readonly float[] Special =
        [0, -0f, 1, -1, float.Epsilon, -float.Epsilon, float.MaxValue, float.MinValue, float.PositiveInfinity, float.NegativeInfinity, float.NaN, -float.NaN];

    [Fact]
    public void Keys_order_as_scores_do_then_by_row()
    {
        for (var a = 0; a < Special.Length; a++)
        {
            for (var b = 0; b < Special.Length; b++)
            {
                var (left, right) = (Special[a], Special[b]);
                var byScore = float.IsNaN(left) || float.IsNaN(right)
                    ? float.IsNaN(left).CompareTo(float.IsNaN(right))
                    : right == left ? 0 : right.CompareTo(left);
                var expected = byScore != 0 ? byScore : a.CompareTo(b);
                Assert.Equal(expected, BestFirst.Key(left, a).CompareTo(BestFirst.Key(right, b)));
                Assert.Equal(expected, BestFirst.Key(left, ItemCounters.None, a).CompareTo(BestFirst.Key(right, ItemCounters.None, b)));
            }
        }
    }

    [Fact]
    public void Among_equal_rates_the_one_never_seen_comes_first_and_then_the_one_seen_last()
    {
        long[] newestFirst = [ItemCounters.NeverSeen, long.MaxValue - 1, 2_000, 1_000, 0, -5, long.MinValue + 1];
        var keys = newestFirst.Select((seen, place) => BestFirst.Key(0.5f, new ItemCounters(0, 0, seen), 100 - place)).ToArray();
        Assert.Equal(keys.Order(), keys);
        Assert.Equal(100, BestFirst.Row(keys[0]));
    }

    [Fact]
    public void Selection_is_the_front_of_the_sorted_keys()
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (var round = 0; round < 500; round++)
        {
            var keys = Enumerable.Range(0, random.Next(1, 200)).Select(row => BestFirst.Key(random.Next(20), row)).ToArray();
            var limit = random.Next(1, 220);
            Assert.Equal(keys.Order().Take(limit), BestFirst.Take(keys.ToArray().AsSpan(), limit).ToArray());
        }
    }
}
