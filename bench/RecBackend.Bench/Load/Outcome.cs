namespace RecBackend.Bench.Load;

/// <summary>What became of an arrival.</summary>
internal enum Outcome : byte
{
    /// <summary>A ranking by the model: what goodput counts.</summary>
    Model,

    /// <summary>A ranking by the fallback, because the scorer was full.</summary>
    FallbackOverloaded,

    /// <summary>A ranking by the fallback, because the deadline had passed.</summary>
    FallbackDeadline,

    /// <summary>A ranking by the fallback for another reason.</summary>
    FallbackOther,

    /// <summary>429.</summary>
    TooManyRequests,

    /// <summary>503.</summary>
    Unavailable,

    /// <summary>Another status than those and 200, or a 200 that is no ranking.</summary>
    Unexpected,

    /// <summary>Sent, and not answered before the caller gave up.</summary>
    TimedOut,

    /// <summary>Never sent: the caller gave up while no connection was free.</summary>
    Unsent,

    /// <summary>The connection could not be made, or broke.</summary>
    Broken,
}
