using MessagePack;
using Microsoft.Extensions.Caching.Memory;
using Orleans.Storage;
using RecBackend.Core.Storage;

namespace RecBackend.Grains.Items;

/// <summary>
/// The blobs of one shard in grain storage, each a state of its own: the manifest, segments, and pages of the index. A segment or a page is written once and never changed; that it must not exist before makes the write a fence: of two activations
/// that both believe to be the shard's writer, one fails.
/// </summary>
internal sealed class ItemSegmentStore(IGrainStorage storage, SegmentCache cache, int shard)
{
    private const string StateName = "items";

    // Many items are asked for at once, and lie in few segments.
    private readonly Dictionary<long, Task<ItemSegment?>> _reading = [];

    private GrainState<ItemShardManifest> _manifest = new(new());

    public ItemShardManifest Manifest => _manifest.State!;

    private GrainId ManifestId => GrainId.Create("itemshard", $"{shard}");

    /// <summary>Reads which blobs there are.</summary>
    public async Task ReadManifestAsync(CancellationToken cancellation)
    {
        var read = await ReadAsync<ItemShardManifest>(ManifestId, cancellation);
        read.State ??= new();
        _manifest = read;
    }

    /// <summary>Over how many shards the items are spread: shard 0 says it for all, from the first that is ever made. Two silos that are set to different numbers cannot each make shards that the other has not.</summary>
    /// <param name="shards">How many, if there is none yet.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<int> AgreeAsync(int shards, CancellationToken cancellation)
    {
        var first = shard == 0 ? this : new ItemSegmentStore(storage, cache, 0);
        for (var tries = 0; ; tries++)
        {
            await first.ReadManifestAsync(cancellation);
            if (first.Manifest.Shards > 0)
            {
                return first.Manifest.Shards;
            }

            try
            {
                await first.WriteManifestAsync(new() { Shards = shards });
                return shards;
            }
            catch (InconsistentStateException) when (tries == 0)
            {
                // Another one has said it meanwhile.
            }
        }
    }

    /// <summary>Whether the manifest is still the one that was read or written last.</summary>
    public async Task<bool> IsManifestCurrentAsync() => (await ReadAsync<ItemShardManifest>(ManifestId, default)).ETag == _manifest.ETag;

    /// <summary>Replaces the manifest.</summary>
    /// <exception cref="InconsistentStateException">Another activation did.</exception>
    public async Task WriteManifestAsync(ItemShardManifest manifest)
    {
        var written = new GrainState<ItemShardManifest>(manifest, _manifest.ETag) { RecordExists = _manifest.RecordExists };
        await storage.WriteStateAsync(StateName, ManifestId, written);
        _manifest = written;
    }

    /// <summary>Reads a segment; null if there is none of this number.</summary>
    /// <param name="segment">Its number.</param>
    /// <param name="keep">Whether it is likely to be read again.</param>
    /// <param name="cancellation">Gives up.</param>
    public async ValueTask<ItemSegment?> ReadAsync(long segment, bool keep = true, CancellationToken cancellation = default)
    {
        if (cache.Find(shard, segment) is { } known)
        {
            return known;
        }

        if (!keep)
        {
            return await FetchAsync(segment, cancellation);
        }

        if (_reading.TryGetValue(segment, out var reading))
        {
            return await reading.WaitAsync(cancellation);
        }

        reading = FetchAsync(segment, cancellation);
        _reading.Add(segment, reading);
        try
        {
            if (await reading is { } read)
            {
                cache.Keep(shard, segment, read);
                return read;
            }

            return null;
        }
        finally
        {
            _reading.Remove(segment);
        }
    }

    /// <summary>Writes a new segment.</summary>
    /// <exception cref="InconsistentStateException">There is a blob of this number.</exception>
    public async Task WriteAsync(long segment, ItemSegment content)
    {
        await storage.WriteStateAsync(StateName, BlobId(segment), new GrainState<ItemSegment>(content));
        cache.Keep(shard, segment, content);
    }

    /// <summary>Reads a page of the index; null if there is none of this number.</summary>
    public async Task<IndexPage?> ReadPageAsync(long page, CancellationToken cancellation)
    {
        var read = await ReadAsync<IndexPage>(BlobId(page), cancellation);
        return read.RecordExists ? read.State : null;
    }

    /// <summary>Writes a new page of the index.</summary>
    /// <exception cref="InconsistentStateException">There is a blob of this number.</exception>
    public Task WritePageAsync(long page, IndexPage content) => storage.WriteStateAsync(StateName, BlobId(page), new GrainState<IndexPage>(content));

    /// <summary>Deletes a segment or a page, if it is there.</summary>
    public async Task DeleteAsync(long number)
    {
        try
        {
            // Whatever it holds: it was written once.
            await storage.ClearStateAsync(StateName, BlobId(number), new GrainState<ItemSegment>(new(), "*") { RecordExists = true });
        }
        catch (InconsistentStateException)
        {
            // It is not there.
        }
    }

    /// <summary>Lets go of a segment that nobody will read.</summary>
    public void Release(long segment) => cache.Drop(shard, segment);

    private async Task<ItemSegment?> FetchAsync(long segment, CancellationToken cancellation) =>
        await ReadAsync<ItemSegment>(BlobId(segment), cancellation) is { RecordExists: true } read ? read.State : null;

    /// <summary>What a storage throws cannot be sent to other silos.</summary>
    private async Task<GrainState<TState>> ReadAsync<TState>(GrainId id, CancellationToken cancellation)
        where TState : new()
    {
        var read = new GrainState<TState>(new());
        try
        {
            await storage.ReadStateAsync(StateName, id, read, cancellation).WaitAsync(cancellation);
            return read;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            throw;
        }
        catch (MessagePackSerializationException error)
        {
            throw new StorageException(StorageException.Unreadable, $"A blob of shard {shard} of the items cannot be understood: {error.GetBaseException().Message}", error);
        }
        catch (Exception error)
        {
            throw new StorageException(StorageException.Unavailable, $"Shard {shard} of the items cannot be read: {error.Message}", error);
        }
    }

    private GrainId BlobId(long number) =>
        number > 0 ? GrainId.Create("itemlog", $"{shard}-{number}") : GrainId.Create("itemmerged", $"{shard}-{-number}");
}

/// <summary>The segments that this silo's shards read last, in bounded memory.</summary>
internal sealed class SegmentCache(long bytes) : IDisposable
{
    // Share of it.
    private const double Room = 0.1;

    private readonly MemoryCache _cache = new(new MemoryCacheOptions { SizeLimit = bytes });

    public ItemSegment? Find(int shard, long segment) => _cache.Get<ItemSegment>((shard, segment));

    public void Keep(int shard, long segment, ItemSegment content)
    {
        var options = new MemoryCacheEntryOptions { Size = content.Size() };
        _cache.Set((shard, segment), content, options);
        if (_cache.Get((shard, segment)) is null)
        {
            // A cache that is full takes nothing until it has made room, which it would do later.
            _cache.Compact(Room);
            _cache.Set((shard, segment), content, options);
        }
    }

    public void Drop(int shard, long segment) => _cache.Remove((shard, segment));

    public void Dispose() => _cache.Dispose();
}
