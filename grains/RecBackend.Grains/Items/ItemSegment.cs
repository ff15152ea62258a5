using MessagePack;
using RecBackend.Grains.Counting;

namespace RecBackend.Grains.Items;

/// <summary>What one write of a shard stores: the changes of all calls that shared it. Or what a merge keeps of many: contents or representations alone.</summary>
[MessagePackObject]
public sealed class ItemSegment
{
    /// <summary>Changed items.</summary>
    [Key(0)]
    public ItemEntry[] Entries { get; set; } = [];

    /// <summary>The shard's header after this write. Version 0.1 wrote it whole into the log; now it comes with the index.</summary>
    [Key(1)]
    public ShardHeader? Header { get; set; }

    /// <summary>The highest version that the shard had given away; of several headers that of the highest version is the truth.</summary>
    [Key(2)]
    public long Version { get; set; }

    /// <summary>What was added to the ledger, or null.</summary>
    [Key(3)]
    public CountLedger? Counted { get; set; }

    /// <summary>All trims if there is a new one, or null.</summary>
    [Key(4)]
    public RepresentationTrim[]? Trims { get; set; }

    internal long Size() => 200 + Entries.Sum(entry => (long)entry.Size());
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

    internal int Size() => 60 + (2 * Id.Length) + (Content?.Size() ?? 0) + (Representations?.Sum(one => one.Size()) ?? 0);
}
