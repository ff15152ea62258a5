using MessagePack;

namespace RecBackend.Grains.Counting;

/// <summary>
/// Identifies what one silo counts in about a second: the operation id of a flush. The numbers of an incarnation reach each item shard in rising order, so that a shard remembers one number
/// for each incarnation.
/// </summary>
/// <param name="Incarnation">One run of one silo's counter.</param>
/// <param name="Number">From 1 on.</param>
[GenerateSerializer, Immutable, Alias("RecBackend.CountBatch"), MessagePackObject]
public readonly record struct CountBatch(
    [property: Id(0), Key(0)] Guid Incarnation,
    [property: Id(1), Key(1)] long Number);

/// <summary>What events have added to an item's counters.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ItemCount"), MessagePackObject]
public readonly record struct ItemCount(
    [property: Id(0), Key(0)] string Item,
    [property: Id(1), Key(1)] long Impressions,
    [property: Id(2), Key(2)] long Clicks,
    [property: Id(3), Key(3)] long FirstSeen)
{
    internal ItemCount And(in ItemCount other) => new(Item, Impressions + other.Impressions, Clicks + other.Clicks, Math.Min(FirstSeen, other.FirstSeen));
}

/// <summary>A count that is stored with its user until it is known to be durable with its item.</summary>
/// <param name="Batch">The batch that it travels in.</param>
/// <param name="Count">The count.</param>
/// <param name="UserVersion">The user's version of the write that stored it.</param>
[MessagePackObject]
public readonly record struct PendingCount([property: Key(0)] CountBatch Batch, [property: Key(1)] ItemCount Count, [property: Key(2)] long UserVersion);
