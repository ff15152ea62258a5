namespace RecBackend.Grains.Hosting;

/// <summary>Settings of the engine for a cluster.</summary>
public sealed record ClusterEngineOptions
{
    /// <summary>
    /// Shards of the items. Fixed for the life of a cluster's data: more of them spread a large catalogue over more silos, fewer make each write carry more items.
    /// 32 suit a million items, 1,024 a hundred million.
    /// </summary>
    public int ItemShards { get; init; } = 32;

    /// <summary>Memory of a silo for contents that were read last, in bytes.</summary>
    public long ContentCacheBytes { get; init; } = 256L << 20;

    /// <exception cref="ArgumentOutOfRangeException">A setting is out of range.</exception>
    public void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(ItemShards, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(ItemShards, 1 << 16);
        ArgumentOutOfRangeException.ThrowIfLessThan(ContentCacheBytes, 1 << 20);
    }
}
