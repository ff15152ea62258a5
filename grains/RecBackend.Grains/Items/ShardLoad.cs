using Orleans.Storage;
using RecBackend.Core.Storage;

namespace RecBackend.Grains.Items;

/// <summary>Reads a shard, its index and the log after it, and takes it over.</summary>
internal sealed class ShardLoad(ItemSegmentStore store, ShardContents contents, ShardTurns turns)
{
    /// <summary>Blobs that are read at once.</summary>
    private const int ReadAhead = 4;

    private const int MostClaims = 20;

    /// <param name="shards">Number of shards of this cluster.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task RunAsync(int shards, CancellationToken cancellation)
    {
        using var turn = await turns.LoadAsync(cancellation);
        await store.ReadManifestAsync(cancellation);
        var stored = store.Manifest.Shards > 0 ? store.Manifest.Shards : await store.AgreeAsync(shards, cancellation);
        if (stored != shards)
        {
            throw new StorageException(StorageException.Unreadable, $"The stored items are spread over {stored} shards and this silo is set to {shards}; set it to {stored}.");
        }

        if (store.Manifest.Shards == 0)
        {
            await store.WriteManifestAsync(new() { Shards = shards });
        }

        contents.Merged.AddRange(store.Manifest.Segments);
        foreach (var numbers in store.Manifest.Index.Chunk(ReadAhead))
        {
            foreach (var (number, page) in numbers.Zip(await Task.WhenAll(numbers.Select(number => store.ReadPageAsync(number, cancellation)))))
            {
                contents.Apply(page ?? throw Missing(number));
            }
        }

        foreach (var numbers in store.Manifest.Merged.Chunk(ReadAhead))
        {
            foreach (var (number, segment) in numbers.Zip(await ReadAsync(numbers, cancellation)))
            {
                contents.ApplyMerged(number, segment ?? throw Missing(number));
            }
        }

        contents.Next = store.Manifest.Tail;
        for (var claims = 1; ; claims++)
        {
            await ReadLogAsync(cancellation);
            if (await TryClaimAsync())
            {
                break;
            }

            if (claims == MostClaims)
            {
                throw new StorageException(StorageException.Unavailable, "Another silo writes this shard of the items. Nothing was stored; it is safe to send the call again.");
            }
        }

        contents.Index.EndLoad();
    }

    /// <summary>The log ends where a segment is missing.</summary>
    private async Task ReadLogAsync(CancellationToken cancellation)
    {
        while (true)
        {
            foreach (var segment in await ReadAsync([.. Enumerable.Range(0, ReadAhead).Select(ahead => contents.Next + ahead)], cancellation))
            {
                if (segment is null)
                {
                    return;
                }

                contents.ApplyLog(segment);
            }
        }
    }

    /// <summary>Ends the log for whoever wrote it before: an activation that was cut off, and does not know that it was replaced, must not acknowledge a write that this one would never see.</summary>
    /// <returns>False if that one was faster.</returns>
    private async Task<bool> TryClaimAsync()
    {
        var claim = new ItemSegment { Entries = [], Version = contents.Version };
        try
        {
            await store.WriteAsync(contents.Next, claim);
        }
        catch (InconsistentStateException)
        {
            return false;
        }
        catch (Exception error)
        {
            throw new StorageException(StorageException.Unavailable, $"A shard of the items cannot be taken over: {error.Message} It is safe to send the call again.", error);
        }

        contents.ApplyLog(claim);
        return true;
    }

    private Task<ItemSegment?[]> ReadAsync(long[] numbers, CancellationToken cancellation) =>
        Task.WhenAll(numbers.Select(number => store.ReadAsync(number, cancellation: cancellation).AsTask()));

    private static StorageException Missing(long number) => new(StorageException.Unreadable, $"The blob {-number} of a shard of items is missing.");
}
