using System.Diagnostics;

namespace RecBackend.Bench.Load;

/// <summary>
/// When requests arrive: a Poisson process, as of many callers who know nothing of each other (the server scenario of MLPerf Inference). The whole schedule is drawn before the first request is
/// sent, so nothing that the server does can move an arrival: coordinated omission cannot happen.
/// </summary>
internal static class PoissonArrivals
{
    /// <summary>Draws a schedule; the same arguments give the same one.</summary>
    /// <param name="rate">Arrivals a second, on average.</param>
    /// <param name="length">How long they come.</param>
    /// <param name="seed">Seed of the gaps, which are independent and exponentially distributed.</param>
    /// <returns>Arrivals in ticks of <see cref="Stopwatch"/> after the start, ascending.</returns>
    public static long[] Draw(double rate, TimeSpan length, int seed) => Draw([(rate, length)], seed);

    /// <summary>Draws a schedule whose rate changes.</summary>
    /// <param name="parts">Rates, and how long each lasts, one after the other.</param>
    /// <param name="seed">Seed of the gaps.</param>
    /// <returns>Arrivals in ticks of <see cref="Stopwatch"/> after the start, ascending.</returns>
    public static long[] Draw(IReadOnlyList<(double Rate, TimeSpan Length)> parts, int seed)
    {
        var random = new Random(seed);
        var arrivals = new List<long>();
        var start = 0.0;
        foreach (var (rate, length) in parts)
        {
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rate);

            // A part begins anew: the process has no memory, so the gap that its end cuts off owes nothing to the next.
            for (var at = Gap(rate); at < length.TotalSeconds; at += Gap(rate))
            {
                arrivals.Add((long)((start + at) * Stopwatch.Frequency));
            }

            start += length.TotalSeconds;
        }

        return [.. arrivals];

        // NextDouble may be 0 and is never 1: the logarithm is of a number above 0.
        double Gap(double rate) => -Math.Log(1 - random.NextDouble()) / rate;
    }
}
