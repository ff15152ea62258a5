using System.Numerics;
using System.Text;
using RecBackend.Core;
using RecBackend.Core.Catalog;

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

    /// <summary>Calls the shard of each entry with all its entries, all shards at once, and gives the results in the order of the entries.</summary>
    public async Task<TResult[]> SpreadAsync<T, TResult>(IReadOnlyList<T> entries, Func<T, string> id, Func<IItemShardGrain, T[], Task<TResult[]>> call)
    {
        var results = new TResult[entries.Count];
        await Task.WhenAll(Enumerable.Range(0, entries.Count).GroupBy(place => Of(id(entries[place]))).Select(async places =>
        {
            var part = await call(this[places.Key], [.. places.Select(place => entries[place])]);
            foreach (var (result, place) in part.Zip(places))
            {
                results[place] = result;
            }
        }));
        return results;
    }
}
