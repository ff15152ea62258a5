using MessagePack;
using RecBackend.Grains.Counting;

namespace RecBackend.Grains.Items;

/// <summary>What a shard knows beside its items. Stored whole with the index; a write stores what it adds.</summary>
[MessagePackObject]
public sealed class ShardHeader
{
    /// <summary>What was counted.</summary>
    [Key(0)]
    public CountLedger Ledger { get; set; } = new();

    /// <summary>Which representations were dropped, oldest first.</summary>
    [Key(1)]
    public RepresentationTrim[] Trims { get; set; } = [];

    internal ShardHeader Copy() => new() { Ledger = Ledger.Copy(), Trims = Trims };

    /// <summary>The representations of a list that no later trim has dropped.</summary>
    /// <param name="representations">The list.</param>
    /// <param name="version">Item version at which it was written.</param>
    internal IEnumerable<RepresentationState> Kept(RepresentationState[] representations, long version) =>
        representations.Where(one => Array.TrueForAll(Trims, trim => trim.Version < version || Array.IndexOf(trim.Keep, one.Bundle) >= 0));
}

/// <summary>All representations that were written before <paramref name="Version"/> are dropped but those of the bundles <paramref name="Keep"/>: one line instead of a new list for every item.</summary>
[MessagePackObject]
public sealed record RepresentationTrim([property: Key(0)] long Version, [property: Key(1)] string[] Keep);
