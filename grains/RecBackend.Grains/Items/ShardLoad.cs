using RecBackend.Core.Storage;

namespace RecBackend.Grains.Items;

/// <summary>Reads a shard: its index, and the log after it.</summary>
internal sealed class ShardLoad(ItemSegmentStore store, ShardContents contents, ShardTurns turns)
{
    /// <summary>Blobs that are read at once.</summary>
    private const int ReadAhead = 4;

    /// <param name="shards">Number of shards of this cluster.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task RunAsync(int shards, CancellationToken cancellation)
    {
        using var turn = await turns.LoadAsync(cancellation);
        await store.ReadManifestAsync(cancellation);
        if (store.Manifest.Shards == 0)
        {
            await store.WriteManifestAsync(new() { Shards = shards });
        }
        else if (store.Manifest.Shards != shards)
        {
            throw new StorageException(
                StorageException.Unreadable, $"The stored items are spread over {store.Manifest.Shards} shards and this silo is set to {shards}; set it to {store.Manifest.Shards}.");
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

        await ReadLogAsync(cancellation);
        contents.Index.EndLoad();
    }

    /// <summary>The log ends where a segment is missing.</summary>
    private async Task ReadLogAsync(CancellationToken cancellation)
    {
        contents.Next = store.Manifest.Tail;
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

    private Task<ItemSegment?[]> ReadAsync(long[] numbers, CancellationToken cancellation) =>
        Task.WhenAll(numbers.Select(number => store.ReadAsync(number, cancellation: cancellation).AsTask()));

    private static StorageException Missing(long number) => new(StorageException.Unreadable, $"The blob {-number} of a shard of items is missing.");
}
