using MessagePack;

namespace RecBackend.Grains.Items;

/// <summary>
/// Which blobs make up a shard: the index up to <see cref="Tail"/>, the merged segments that it points into, and the log from there on. The end of the log is found by reading on until there is no more,
/// so that a write of the shard is the write of one segment.
/// </summary>
[MessagePackObject]
public sealed class ItemShardManifest
{
    /// <summary>Number of shards that the cluster's items are spread over; a cluster with another number cannot read them.</summary>
    [Key(0)]
    public int Shards { get; set; }

    /// <summary>Merged segments of version 0.1, by negative numbers: they hold all that is known of their items, and there is no index. Empty from the first merge of this version on.</summary>
    [Key(1)]
    public long[] Merged { get; set; } = [];

    /// <summary>The first segment of the log that is not merged yet.</summary>
    [Key(2)]
    public long Tail { get; set; } = 1;

    /// <summary>Number of the next merged segment or page of the index.</summary>
    [Key(3)]
    public long NextMerged { get; set; } = 1;

    /// <summary>Blobs that no reader needs; deleted some time later.</summary>
    [Key(4)]
    public RetiredSegment[] Retired { get; set; } = [];

    /// <summary>The merged segments.</summary>
    [Key(5)]
    public MergedSegment[] Segments { get; set; } = [];

    /// <summary>Pages of the index, by negative numbers: of what several say of an item, the last is the truth.</summary>
    [Key(6)]
    public long[] Index { get; set; } = [];

    /// <summary>Entries of these pages.</summary>
    [Key(7)]
    public long IndexEntries { get; set; }
}

/// <summary>A segment that a merge wrote.</summary>
/// <param name="Number">Its number, negative.</param>
/// <param name="Parts">Contents and representations in it, those that were replaced since included.</param>
/// <param name="Bytes">About how many bytes they take.</param>
[MessagePackObject]
public readonly record struct MergedSegment([property: Key(0)] long Number, [property: Key(1)] int Parts, [property: Key(2)] long Bytes);

/// <summary>Blobs that were merged into others.</summary>
/// <param name="Segment">The segment: of the log, or a merged one or a page of the index if negative.</param>
/// <param name="At">When, Unix milliseconds.</param>
/// <param name="More">How many segments of the log that follow it were merged with it.</param>
[MessagePackObject]
public readonly record struct RetiredSegment([property: Key(0)] long Segment, [property: Key(1)] long At, [property: Key(2)] int More = 0);
