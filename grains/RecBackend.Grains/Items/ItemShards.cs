using System.Numerics;
using System.Text;
using RecBackend.Core;
using RecBackend.Core.Catalog;
using RecBackend.Grains.Calls;

namespace RecBackend.Grains.Items;

/// <summary>Which shard an item belongs to: the same in every process, for ever.</summary>
internal sealed class ItemShards(IGrainFactory grains, int count)
{
    public int Count => count;

    // The number of shards is part of the key: a silo that is set to another one reaches grains that refuse it, and never the wrong shard.
    public IItemShardGrain this[int shard] => grains.GetGrain<IItemShardGrain>(((long)count << 32) | (uint)shard);

    /// <summary>The shard and the number of shards of a grain's key.</summary>
    public static (int Shard, int Shards) Parse(long key) => ((int)(key & 0xffffffff), (int)(key >> 32));

    /// <summary>The shards that may hold items of a digest: both are remainders of one hash.</summary>
    public IEnumerable<int> OfDigest(int digest)
    {
        var common = (int)BigInteger.GreatestCommonDivisor(count, ItemCatalog.DigestShards);
        return Enumerable.Range(0, count).Where(shard => shard % common == digest % common);
    }

    public IEnumerable<IItemShardGrain> All => Enumerable.Range(0, count).Select(shard => this[shard]);

    public int Of(string id)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        return (int)(IdHash.Stable(utf8[..Encoding.UTF8.GetBytes(id, utf8)]) % (ulong)count);
    }

    /// <summary>Reads items, in messages of bounded size; null where there is none.</summary>
    /// <param name="ids">Their IDs.</param>
    /// <param name="content">See <see cref="IItemShardGrain.ReadAsync"/>.</param>
    /// <param name="cancellation">Gives up.</param>
    public Task<ItemReading?[]> ReadAsync(IReadOnlyList<string> ids, bool content, CancellationToken cancellation) => SpreadAsync(ids, id => id, async (shard, own) =>
    {
        var items = new List<ItemReading?>(own.Length);
        while (items.Count < own.Length)
        {
            items.AddRange(await GrainCall.TryAgainAsync(() => shard.ReadAsync(own[items.Count..], content), cancellation));
        }

        return items.ToArray();
    });

    /// <summary>Calls the shard of each entry with all its entries, all shards at once, and gives the results in the order of the entries.</summary>
    /// <param name="entries">The entries.</param>
    /// <param name="id">The item of one.</param>
    /// <param name="call">Calls a shard.</param>
    /// <param name="size">About how many bytes one takes; a shard gets its entries in several calls, one after the other, if they are too many for a message. Null = the ID alone.</param>
    public async Task<TResult[]> SpreadAsync<T, TResult>(IReadOnlyList<T> entries, Func<T, string> id, Func<IItemShardGrain, T[], Task<TResult[]>> call, Func<T, long>? size = null)
    {
        var results = new TResult[entries.Count];
        await Task.WhenAll(Enumerable.Range(0, entries.Count).GroupBy(place => Of(id(entries[place]))).Select(async places =>
        {
            foreach (var part in Cut(places, place => size?.Invoke(entries[place]) ?? MessageSize.Of(id(entries[place]))))
            {
                foreach (var (result, place) in (await call(this[places.Key], part.ConvertAll(place => entries[place]).ToArray())).Zip(part))
                {
                    results[place] = result;
                }
            }
        }));
        return results;
    }

    private static IEnumerable<List<int>> Cut(IEnumerable<int> places, Func<int, long> size)
    {
        var (part, bytes) = (new List<int>(), 0L);
        foreach (var place in places)
        {
            part.Add(place);
            bytes += size(place);
            if (bytes >= MessageSize.Most)
            {
                yield return part;
                (part, bytes) = ([], 0);
            }
        }

        if (part.Count > 0)
        {
            yield return part;
        }
    }
}
