using System.Globalization;

namespace RecBackend.Bench.Load;

/// <summary>What a reader of latencies must know of the generator that measured them.</summary>
internal static class GeneratorNotes
{
    // Of the order of a ranking: what is later than this shows in the percentiles.
    private const double LateMicroseconds = 1_000;

    /// <summary>A line where the generator could not go before other threads, and one for each point to which it came late. Nothing where all is well.</summary>
    public static void Print(TextWriter output, IEnumerable<LoadPoint> points)
    {
        var all = points.ToArray();
        if (all.Any(x => !x.Generator.GoesFirst))
        {
            output.WriteLine("this user may not let the generator go before other threads (CAP_SYS_NICE): its arrivals and answers waited for a processor like the server's");
        }

        foreach (var point in all.Where(x => x.Callers.IssuedLate?.P99 > LateMicroseconds))
        {
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"at {point.Callers.Offered:F0}/s the generator came late to its own arrivals (p99 {point.Callers.IssuedLate!.P99 / 1e3:F2} ms): the machine was busy or too small for both, and the latencies are no figures of the server"));
        }
    }
}
