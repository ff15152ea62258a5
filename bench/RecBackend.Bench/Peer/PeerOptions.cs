namespace RecBackend.Bench.Peer;

/// <summary>What <c>rec bench peer</c> is asked for.</summary>
internal sealed record PeerOptions
{
    /// <summary>Candidates of a request; all are in the reply.</summary>
    public required int Candidates { get; init; }

    /// <summary>Processes of the peer's service.</summary>
    public required int Workers { get; init; }

    /// <summary>Whether the peer's service reaches Redis over TCP instead of a Unix socket.</summary>
    public required bool Tcp { get; init; }

    /// <summary>How often saturation is looked for, of each in turn.</summary>
    public required int Rounds { get; init; }

    /// <summary>How often a rate must fail to count as not held.</summary>
    public required int Attempts { get; init; }

    /// <summary>What both are offered, in parts of the peer's saturation.</summary>
    public required double[] Shares { get; init; }

    /// <summary>A rate that does not keep the p99 of all requests within this is not held.</summary>
    public required TimeSpan HeldP99 { get; init; }

    /// <summary>Measured time of a try in the search.</summary>
    public required TimeSpan Probe { get; init; }

    /// <summary>Load before the measured one, at each rate.</summary>
    public required TimeSpan WarmUp { get; init; }

    /// <summary>Measured time at each rate.</summary>
    public required TimeSpan Measured { get; init; }

    /// <inheritdoc cref="Load.LoadPlan.InFlight"/>
    public required int InFlight { get; init; }

    /// <inheritdoc cref="Load.LoadPlan.Seed"/>
    public required int Seed { get; init; }

    /// <summary>Folder of the bundle.</summary>
    public required string Bundle { get; init; }

    /// <summary>Folder of the data set.</summary>
    public required string Data { get; init; }
}
