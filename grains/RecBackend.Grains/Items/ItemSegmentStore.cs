using MessagePack;
using Microsoft.Extensions.Caching.Memory;
using Orleans.Storage;
using RecBackend.Core.Storage;

namespace RecBackend.Grains.Items;

/// <summary>
/// The segments of one shard in grain storage, each a state of its own. A segment is written once and never changed; that it must not exist before makes the write a fence: of two activations
/// that both believe to be the shard's writer, one fails.
/// </summary>
internal sealed class ItemSegmentStore(IGrainStorage storage, SegmentCache cache, int shard)
{
    private const string StateName = "items";

    private GrainState<ItemShardManifest> _manifest = new(new());

    public ItemShardManifest Manifest => _manifest.State!;

    private GrainId ManifestId => GrainId.Create("itemshard", $"{shard}");

    /// <summary>Reads which segments there are.</summary>
    public async Task ReadManifestAsync()
    {
        var read = new GrainState<ItemShardManifest>(new());
        await OrFaultAsync(storage.ReadStateAsync(StateName, ManifestId, read));
        read.State ??= new();
        _manifest = read;
    }

    /// <summary>Whether the manifest is still the one that was read or written last.</summary>
    public async Task<bool> IsManifestCurrentAsync()
    {
        var read = new GrainState<ItemShardManifest>(new());
        await OrFaultAsync(storage.ReadStateAsync(StateName, ManifestId, read));
        return read.ETag == _manifest.ETag;
    }

    /// <summary>Replaces the manifest.</summary>
    /// <exception cref="InconsistentStateException">Another activation did.</exception>
    public async Task WriteManifestAsync(ItemShardManifest manifest)
    {
        var written = new GrainState<ItemShardManifest>(manifest, _manifest.ETag) { RecordExists = _manifest.RecordExists };
        await storage.WriteStateAsync(StateName, ManifestId, written);
        _manifest = written;
    }

    /// <summary>Reads a segment; null if there is none of this number.</summary>
    public async ValueTask<ItemSegment?> ReadAsync(long segment)
    {
        if (cache.Find(shard, segment) is { } known)
        {
            return known;
        }

        var read = new GrainState<ItemSegment>(new());
        await OrFaultAsync(storage.ReadStateAsync(StateName, SegmentId(segment), read));
        if (!read.RecordExists || read.State is null)
        {
            return null;
        }

        cache.Keep(shard, segment, read.State);
        return read.State;
    }

    /// <summary>Writes a new segment.</summary>
    /// <exception cref="InconsistentStateException">There is one of this number.</exception>
    public async Task WriteAsync(long segment, ItemSegment content)
    {
        await storage.WriteStateAsync(StateName, SegmentId(segment), new GrainState<ItemSegment>(content));
        cache.Keep(shard, segment, content);
    }

    public async Task DeleteAsync(long segment)
    {
        cache.Drop(shard, segment);
        var state = new GrainState<ItemSegment>(new());
        await storage.ReadStateAsync(StateName, SegmentId(segment), state);
        if (state.RecordExists)
        {
            await storage.ClearStateAsync(StateName, SegmentId(segment), state);
        }
    }

    /// <summary>What a storage throws cannot be sent to other silos.</summary>
    private async Task OrFaultAsync(Task reading)
    {
        try
        {
            await reading;
        }
        catch (MessagePackSerializationException error)
        {
            throw new StorageException(StorageException.Unreadable, $"A segment of shard {shard} of the items cannot be understood: {error.GetBaseException().Message}", error);
        }
        catch (Exception error)
        {
            throw new StorageException(StorageException.Unavailable, $"Shard {shard} of the items cannot be read: {error.Message}", error);
        }
    }

    private GrainId SegmentId(long segment) =>
        segment > 0 ? GrainId.Create("itemlog", $"{shard}-{segment}") : GrainId.Create("itemmerged", $"{shard}-{-segment}");
}

/// <summary>The segments that this silo's shards read last, in bounded memory.</summary>
internal sealed class SegmentCache(long bytes) : IDisposable
{
    private readonly MemoryCache _cache = new(new MemoryCacheOptions { SizeLimit = bytes });

    public ItemSegment? Find(int shard, long segment) => _cache.Get<ItemSegment>((shard, segment));

    public void Keep(int shard, long segment, ItemSegment content) =>
        _cache.Set((shard, segment), content, new MemoryCacheEntryOptions { Size = 200 + content.Entries.Sum(entry => (long)entry.Size()) });

    public void Drop(int shard, long segment) => _cache.Remove((shard, segment));

    public void Dispose() => _cache.Dispose();
}
