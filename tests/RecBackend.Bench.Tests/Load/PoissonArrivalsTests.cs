using System.Diagnostics;
using RecBackend.Bench.Load;

namespace RecBackend.Bench.Tests.Load;

public class PoissonArrivalsTests
{
    private const double Rate = 500;

    // 100,000 arrivals on average: a figure that is off by more than the test allows is off by more than five standard errors, and the seeds are fixed.
    private static readonly TimeSpan Length = TimeSpan.FromSeconds(200);

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(20261122)]
    public void Gaps_have_the_mean_and_the_spread_of_a_Poisson_process(int seed)
    {
        var gaps = Gaps(PoissonArrivals.Draw(Rate, Length, seed));
        var mean = gaps.Average();
        var deviation = Math.Sqrt(gaps.Average(gap => (gap - mean) * (gap - mean)));

        Assert.InRange(mean, 0.98 / Rate, 1.02 / Rate);

        // The standard deviation of exponential gaps is their mean; that of regular ones is 0, of uniform ones 0.58 of it.
        Assert.InRange(deviation / mean, 0.97, 1.03);
        Assert.InRange(gaps.Count(gap => gap > mean) / (double)gaps.Count, Math.Exp(-1) - 0.01, Math.Exp(-1) + 0.01);
    }

    [Fact]
    public void Gaps_do_not_depend_on_those_before()
    {
        var gaps = Gaps(PoissonArrivals.Draw(Rate, Length, seed: 3));
        var mean = gaps.Average();
        var variance = gaps.Average(gap => (gap - mean) * (gap - mean));
        var together = gaps.Zip(gaps.Skip(1), (one, next) => (one - mean) * (next - mean)).Average();

        Assert.InRange(together / variance, -0.02, 0.02);
    }

    [Fact]
    public void Same_seed_gives_the_same_schedule_and_another_seed_another()
    {
        var schedule = PoissonArrivals.Draw(Rate, TimeSpan.FromSeconds(1), seed: 1);

        Assert.Equal(schedule, PoissonArrivals.Draw(Rate, TimeSpan.FromSeconds(1), seed: 1));
        Assert.NotEqual(schedule, PoissonArrivals.Draw(Rate, TimeSpan.FromSeconds(1), seed: 2));
    }

    [Fact]
    public void Arrivals_ascend_and_lie_within_the_length()
    {
        var schedule = PoissonArrivals.Draw(Rate, TimeSpan.FromSeconds(10), seed: 4);

        Assert.Equal(schedule.Order(), schedule);
        Assert.InRange(schedule[0], 0, Stopwatch.Frequency);
        Assert.InRange(schedule[^1], 9 * Stopwatch.Frequency, (10 * Stopwatch.Frequency) - 1);
    }

    [Fact]
    public void Rate_changes_where_a_part_ends()
    {
        var schedule = PoissonArrivals.Draw([(500, TimeSpan.FromSeconds(100)), (5_000, TimeSpan.FromSeconds(10)), (500, TimeSpan.FromSeconds(100))], seed: 5);

        Assert.Equal(schedule.Order(), schedule);
        Assert.InRange(Between(0, 100), 49_000, 51_000);
        Assert.InRange(Between(100, 110), 49_000, 51_000);
        Assert.InRange(Between(110, 210), 49_000, 51_000);

        int Between(double from, double to) => schedule.Count(at => at >= from * Stopwatch.Frequency && at < to * Stopwatch.Frequency);
    }

    private static List<double> Gaps(long[] schedule) => [.. schedule.Zip(schedule.Skip(1), (one, next) => (next - one) / (double)Stopwatch.Frequency)];
}
