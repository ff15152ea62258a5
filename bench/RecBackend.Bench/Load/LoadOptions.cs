namespace RecBackend.Bench.Load;

/// <summary>What <c>rec bench load</c> is asked for.</summary>
internal sealed record LoadOptions
{
    /// <summary>1.1 or 2.0.</summary>
    public required Version Http { get; init; }

    /// <summary>Whether requests go through the gateway.</summary>
    public required bool Gateway { get; init; }

    /// <summary>Silos of a cluster of this machine in place of the server; 0 for the server.</summary>
    public required int Silos { get; init; }

    /// <summary>Whether the generator has a processor of its own and the server the others, as if callers were elsewhere.</summary>
    public required bool Apart { get; init; }

    /// <summary>Rates to measure; empty = shares of saturation, which is looked for.</summary>
    public required double[] Rates { get; init; }

    /// <summary>Rates to measure, in parts of saturation.</summary>
    public required double[] Shares { get; init; }

    /// <summary>A rate that does not keep the p99 of all requests within this is not held.</summary>
    public required TimeSpan HeldP99 { get; init; }

    /// <summary>Measured time of a try in the search.</summary>
    public required TimeSpan Probe { get; init; }

    /// <summary>Load before the measured one, at each rate.</summary>
    public required TimeSpan WarmUp { get; init; }

    /// <summary>Measured time at each rate, at least.</summary>
    public required TimeSpan Measured { get; init; }

    /// <summary>Measured requests at each rate, at least: longer is measured where the rate is low.</summary>
    public required int Requests { get; init; }

    /// <summary>Length of the storm at the highest share of saturation; zero for none.</summary>
    public required TimeSpan Storm { get; init; }

    /// <inheritdoc cref="LoadPlan.InFlight"/>
    public required int InFlight { get; init; }

    /// <inheritdoc cref="LoadPlan.Patience"/>
    public required TimeSpan Patience { get; init; }

    /// <inheritdoc cref="LoadPlan.Deadline"/>
    public required TimeSpan? Deadline { get; init; }

    /// <inheritdoc cref="LoadPlan.Candidates"/>
    public required int Candidates { get; init; }

    /// <inheritdoc cref="LoadPlan.Limit"/>
    public required int Limit { get; init; }

    /// <inheritdoc cref="LoadPlan.Seed"/>
    public required int Seed { get; init; }

    /// <summary>File of the plot.</summary>
    public required string Plot { get; init; }

    /// <summary>Folder of the bundle.</summary>
    public required string Bundle { get; init; }

    /// <summary>Folder of the data set.</summary>
    public required string Data { get; init; }
}
