using RecBackend.Grains.Placement;

namespace RecBackend.Grains.Hosting;

/// <summary>Settings of the engine for a cluster.</summary>
public sealed record ClusterEngineOptions
{
    /// <summary>The most that <see cref="ItemShards"/> can be.</summary>
    public const int MostItemShards = 1 << 16;

    /// <summary>
    /// Shards of the items. Fixed for the life of a cluster's data: more of them spread a large catalogue over more silos, fewer make each write carry more items.
    /// A shard keeps an index of its items in memory and reads it when it starts, so a large catalogue needs more of them than the default.
    /// </summary>
    public int ItemShards { get; init; } = 32;

    /// <summary>
    /// How long the entity silos must have been the same before shards of the items move, one after the other, to where they belong by then: to a silo that was added, and back to one that was started again at its address.
    /// Long enough that a silo which is restarted is back before; a shard that moves takes no writes for as long as it takes to load.
    /// </summary>
    public TimeSpan ShardsSettle { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How long who writes an item waits for a scoring silo to have it in its catalogue. One that does not answer holds one writer up, once; it finds by itself what it missed.</summary>
    public TimeSpan CatalogPatience { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Memory of a silo for contents that were read last, in bytes.</summary>
    public long ContentCacheBytes { get; init; } = 256L << 20;

    /// <summary>Memory of a silo for users that it read last and their encodings, in bytes.</summary>
    public long UserCacheBytes { get; init; } = 256L << 20;

    /// <summary>What this silo is for: users and items live on entity silos only.</summary>
    public SiloRole Roles { get; init; } = SiloRole.Entity | SiloRole.Scoring;

    /// <summary>Base URL of this silo's HTTP API, which the other silos learn; null = it is not told.</summary>
    public Uri? Address { get; init; }

    /// <exception cref="ArgumentOutOfRangeException">A setting is out of range.</exception>
    public void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(ItemShards, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ItemShards, MostItemShards);
        ArgumentOutOfRangeException.ThrowIfLessThan(ShardsSettle, TimeSpan.FromMilliseconds(100));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ShardsSettle, TimeSpan.FromDays(1));
        ArgumentOutOfRangeException.ThrowIfLessThan(CatalogPatience, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(CatalogPatience, TimeSpan.FromMinutes(1));
        ArgumentOutOfRangeException.ThrowIfLessThan(ContentCacheBytes, 1 << 20);
        ArgumentOutOfRangeException.ThrowIfLessThan(UserCacheBytes, 1 << 20);
        ArgumentOutOfRangeException.ThrowIfEqual((int)Roles, (int)SiloRole.None);
    }
}
