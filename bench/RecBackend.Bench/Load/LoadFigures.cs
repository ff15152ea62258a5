using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Load;

/// <summary>What the callers saw at one offered rate.</summary>
internal sealed record LoadFigures
{
    /// <summary>Length of the measured part.</summary>
    public required double Seconds { get; init; }

    /// <summary>Arrivals in it.</summary>
    public required long Arrivals { get; init; }

    /// <summary>Arrivals a second, as drawn.</summary>
    public required double Offered { get; init; }

    /// <summary>Answers of any kind a second.</summary>
    public required double Achieved { get; init; }

    /// <summary>Rankings by the model a second.</summary>
    public required double Goodput { get; init; }

    /// <summary>Arrivals by what became of them.</summary>
    public required IReadOnlyDictionary<Outcome, long> Outcomes { get; init; }

    /// <summary>Latency from the scheduled arrival, of the rankings by the model; null if there was none.</summary>
    public required Percentiles? Model { get; init; }

    /// <summary>Latency from the scheduled arrival, of every arrival: those that were given up count until then.</summary>
    public required Percentiles? All { get; init; }

    /// <summary>From the scheduled arrival until there was a connection: what of the latency the client made.</summary>
    public required Percentiles? ClientWait { get; init; }

    /// <summary>From the scheduled arrival until the generator came to it: above some tenths of a millisecond the generator, and not the server, is what is measured.</summary>
    public required Percentiles? IssuedLate { get; init; }

    /// <summary>Arrivals that found all connections taken.</summary>
    public required long FoundNoConnection { get; init; }
}

/// <summary>Percentiles of a sample by nearest rank, in microseconds.</summary>
internal sealed record Percentiles(double P50, double P95, double P99, double P999, double Max)
{
    /// <summary>Those of <paramref name="sample"/>; null if it is empty.</summary>
    public static Percentiles? Of(LatencySample sample) => sample.Count == 0
        ? null
        : new Percentiles(sample.Percentile(0.5), sample.Percentile(0.95), sample.Percentile(0.99), sample.Percentile(0.999), sample.Percentile(1));
}
