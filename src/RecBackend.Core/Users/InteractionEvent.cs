namespace RecBackend.Core.Users;

/// <summary>Something that happened between a user and an item.</summary>
/// <param name="EventId">The caller's ID of the event: sending it again has no effect.</param>
/// <param name="Type"><c>impression</c>, or one of the active bundle's actions such as <c>click</c>.</param>
/// <param name="User">The user.</param>
/// <param name="Item">The item.</param>
/// <param name="Timestamp">When it happened, Unix milliseconds.</param>
/// <param name="RequestId">The ranking that it answers, if known.</param>
public sealed record InteractionEvent(string EventId, string Type, string User, string Item, long Timestamp, string? RequestId)
{
    /// <summary>The type of an event that says only that the user was shown the item.</summary>
    public const string Impression = "impression";

    /// <summary>The type of a click.</summary>
    public const string Click = "click";
}

/// <summary>What became of a batch of events.</summary>
/// <param name="Accepted">How many are now stored.</param>
/// <param name="Duplicates">How many were stored before.</param>
/// <param name="Rejected">Those that cannot be stored, by place in the batch.</param>
public sealed record EventReceipt(int Accepted, int Duplicates, IReadOnlyList<RejectedEntry> Rejected);

/// <summary>An entry of a batch that was refused; the others were stored.</summary>
/// <param name="Index">Its place in the batch, from 0.</param>
/// <param name="Code">A stable code such as <c>item_unknown</c>.</param>
/// <param name="Detail">The reason in words, or null.</param>
public sealed record RejectedEntry(int Index, string Code, string? Detail = null);
