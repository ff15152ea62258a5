namespace RecBackend.Client;

/// <summary>Something that happened between a user and an item. Sending it again has no effect.</summary>
public sealed record InteractionEvent
{
    /// <summary>The caller's ID of the event.</summary>
    public required string EventId { get; init; }

    /// <summary><c>impression</c>, or an action of the model such as <c>click</c>.</summary>
    public required string Type { get; init; }

    /// <summary>The user's ID.</summary>
    public required string User { get; init; }

    /// <summary>The item's ID.</summary>
    public required string Item { get; init; }

    /// <summary>When, in Unix seconds; null = when the server receives it.</summary>
    public double? Timestamp { get; init; }

    /// <summary>The ranking that it answers.</summary>
    public string? RequestId { get; init; }
}

/// <summary>What became of a batch: the entries that are not in <see cref="Rejected"/> are stored, and a ranking that starts now sees them.</summary>
public sealed record BatchReceipt
{
    /// <summary>How many entries are stored by this call.</summary>
    public long Accepted { get; init; }

    /// <summary>How many were stored before; of events only.</summary>
    public long Duplicates { get; init; }

    /// <summary>How many cannot be stored.</summary>
    public long RejectedCount { get; init; }

    /// <summary>Those that cannot be stored; the server lists the first 1,000.</summary>
    public IReadOnlyList<RejectedEntry> Rejected { get; init; } = [];
}

/// <summary>An entry of a batch that was refused.</summary>
/// <param name="Index">Its place in the batch, from 0.</param>
/// <param name="Code">A stable code.</param>
/// <param name="Detail">The reason in words.</param>
public sealed record RejectedEntry(long Index, string Code, string? Detail);
