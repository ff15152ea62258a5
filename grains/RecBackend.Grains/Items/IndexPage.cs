using MessagePack;

namespace RecBackend.Grains.Items;

/// <summary>
/// A page of a shard's index in storage: what a shard keeps in memory of items, so that a load need not read their contents. A page is written once and never changed; it tells of its items what was
/// true when it was written, which is at the end of the merged log or later.
/// </summary>
[MessagePackObject]
public sealed class IndexPage
{
    /// <summary>The items.</summary>
    [Key(0)]
    public IndexEntry[] Entries { get; set; } = [];

    /// <summary>The shard's header; the last page of each merge has it.</summary>
    [Key(1)]
    public ShardHeader? Header { get; set; }

    /// <summary>The highest version that the shard had given away: what is inserted later is above it, so that nothing need be kept of an item that was deleted.</summary>
    [Key(2)]
    public long Version { get; set; }
}

/// <summary>An item in the index.</summary>
/// <param name="Id">The item.</param>
/// <param name="Version">Its version.</param>
/// <param name="ContentVersion">The version of its content; 0 if the item was deleted.</param>
/// <param name="Content">Where the content lies.</param>
/// <param name="RepresentationsVersion">The version at which its representations were written.</param>
/// <param name="Representations">Where they lie.</param>
/// <param name="HasExternal">Whether one of them came from outside.</param>
/// <param name="CountersVersion">The version of its counters.</param>
/// <param name="Counters">Its counters.</param>
[MessagePackObject]
public readonly record struct IndexEntry(
    [property: Key(0)] string Id,
    [property: Key(1)] long Version,
    [property: Key(2)] long ContentVersion,
    [property: Key(3)] Place Content,
    [property: Key(4)] long RepresentationsVersion,
    [property: Key(5)] Place Representations,
    [property: Key(6)] bool HasExternal,
    [property: Key(7)] long CountersVersion,
    [property: Key(8)] CountersState Counters);

/// <summary>Where a part of an item is stored.</summary>
/// <param name="Segment">The segment.</param>
/// <param name="Entry">Place of the entry in it.</param>
[MessagePackObject]
public readonly record struct Place([property: Key(0)] long Segment, [property: Key(1)] int Entry);
