using System.Diagnostics;
using RecBackend.Bench.Load;
using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Tests.Measuring;

public class LatencySampleTests
{
    [Fact]
    public void Percentiles_are_by_nearest_rank_whatever_the_order()
    {
        var sample = new LatencySample(1_000);
        foreach (var microseconds in Enumerable.Range(1, 1_000).OrderBy(x => x * 7_919 % 1_009))
        {
            sample.Add(microseconds * Stopwatch.Frequency / 1_000_000);
        }

        Assert.Equal(new Percentiles(500, 950, 990, 999, 1_000), Percentiles.Of(sample));
    }

    [Fact]
    public void High_percentiles_of_few_durations_are_the_longest_and_not_between_two()
    {
        var sample = new LatencySample(3);
        foreach (var microseconds in new[] { 300, 100, 200 })
        {
            sample.Add(microseconds * Stopwatch.Frequency / 1_000_000);
        }

        Assert.Equal(new Percentiles(200, 300, 300, 300, 300), Percentiles.Of(sample));
    }

    [Fact]
    public void Duration_that_is_added_after_a_percentile_was_read_counts()
    {
        var sample = new LatencySample(2);
        sample.Add(Stopwatch.Frequency);
        Assert.Equal(1e6, sample.Percentile(1));
        sample.Add(Stopwatch.Frequency / 2);

        Assert.Equal(5e5, sample.Percentile(0.5));
    }

    [Fact]
    public void There_are_no_percentiles_of_nothing() => Assert.Null(Percentiles.Of(new LatencySample(0)));
}
