using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Engine.Contract;
using RecBackend.Grains.Items;

namespace RecBackend.Cluster.Tests.Items;

/// <summary>A storage with one shard of four, and activations of it: as many as a test wants, as if each were of a silo that believes to be the only one.</summary>
internal sealed class ShardStore(MemoryStorage? storage = null)
{
    public const int Shards = 4;

    public MemoryStorage Storage { get; } = storage ?? new();

    public ManualClock Clock { get; } = new();

    public async Task<ItemShard> OpenAsync(Func<IReadOnlyList<ItemChange>, Task>? tell = null, long cacheBytes = 1 << 20)
    {
        var shard = Shard(tell, cacheBytes);
        await shard.LoadAsync(Shards);
        return shard;
    }

    public ItemShard Shard(Func<IReadOnlyList<ItemChange>, Task>? tell = null, long cacheBytes = 1 << 20) =>
        new(Segments(cacheBytes), new ShardTurns(), tell ?? (_ => Task.CompletedTask), Clock);

    /// <summary>The manifest as it is stored.</summary>
    public async Task<ItemShardManifest> ManifestAsync()
    {
        var segments = Segments(1);
        await segments.ReadManifestAsync(default);
        return segments.Manifest;
    }

    public ItemSegmentStore Segments(long cacheBytes) => new(Storage, new SegmentCache(cacheBytes), 1);

    public static ItemUpsert Upsert(string id, string title, float value = 0) =>
        new(id, new ItemContent { Title = title }, new("b1", [value], RepresentationSource.Computed));
}
