using MessagePack;

namespace RecBackend.Grains.Items;

/// <summary>What one write of a shard stores: the changes of all calls that shared it.</summary>
[MessagePackObject]
public sealed class ItemSegment
{
    /// <summary>Changed items.</summary>
    [Key(0)]
    public ItemEntry[] Entries { get; set; } = [];

    /// <summary>The shard's header after this write if it changed, else null.</summary>
    [Key(1)]
    public ShardHeader? Header { get; set; }

    /// <summary>The highest version that the shard had given away; of several headers that of the highest version is the truth.</summary>
    [Key(2)]
    public long Version { get; set; }
}

/// <summary>A change of an item. A part that is null did not change; of a part that several segments hold, the one with the highest version is the truth, whatever the order of the segments.</summary>
[MessagePackObject]
public sealed class ItemEntry
{
    /// <summary>The item.</summary>
    [Key(0)]
    public required string Id { get; init; }

    /// <summary>Its version after the change.</summary>
    [Key(1)]
    public required long Version { get; init; }

    /// <summary>Whether the item was deleted.</summary>
    [Key(2)]
    public bool Deleted { get; init; }

    /// <summary>Its content.</summary>
    [Key(3)]
    public ContentState? Content { get; init; }

    /// <summary>All its representations.</summary>
    [Key(4)]
    public RepresentationState[]? Representations { get; init; }

    /// <summary>Its counters.</summary>
    [Key(5)]
    public CountersState? Counters { get; init; }

    internal int Size() => 60 + (2 * Id.Length) + (Content?.Size() ?? 0) + (Representations?.Sum(one => 60 + (4 * one.Values.Length)) ?? 0);
}

/// <summary>Which segments make up a shard. What comes after <see cref="Tail"/> is found by reading on until there is no more, so that a write of the shard is the write of one segment.</summary>
[MessagePackObject]
public sealed class ItemShardManifest
{
    /// <summary>Number of shards that the cluster's items are spread over; a cluster with another number cannot read them.</summary>
    [Key(0)]
    public int Shards { get; set; }

    /// <summary>Segments that others were merged into, by negative numbers.</summary>
    [Key(1)]
    public long[] Merged { get; set; } = [];

    /// <summary>The first segment of the log that is not merged yet.</summary>
    [Key(2)]
    public long Tail { get; set; } = 1;

    /// <summary>Number of the next merged segment.</summary>
    [Key(3)]
    public long NextMerged { get; set; } = 1;

    /// <summary>Segments that no reader needs; deleted some time later.</summary>
    [Key(4)]
    public RetiredSegment[] Retired { get; set; } = [];
}

/// <summary>A segment that was merged into others.</summary>
/// <param name="Segment">The segment: of the log, or a merged one if negative.</param>
/// <param name="At">When, Unix milliseconds.</param>
[MessagePackObject]
public readonly record struct RetiredSegment([property: Key(0)] long Segment, [property: Key(1)] long At);
