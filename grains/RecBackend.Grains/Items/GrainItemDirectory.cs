using System.Runtime.CompilerServices;
using Orleans.Concurrency;
using RecBackend.Core.Items;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Catalog;

namespace RecBackend.Grains.Items;

/// <summary>The items of the cluster: shards of the ID space, a grain each.</summary>
internal sealed class GrainItemDirectory(ItemShards shards, CatalogCopy copy) : IItemDirectory
{
    /// <summary>Items that <see cref="ReadAllAsync"/> asks for at once; as many come as fit into a message.</summary>
    private const int Page = 256;

    public async ValueTask<ItemRecord?> GetAsync(string id, CancellationToken cancellation)
    {
        var read = await shards.ReadAsync([id], content: true, cancellation);
        return read[0]?.ToRecord();
    }

    public async ValueTask<IReadOnlyList<long>> UpsertAsync(IReadOnlyList<ItemUpsert> items, CancellationToken cancellation) =>
        await shards.SpreadAsync(
            [.. items.Select(UpsertMessage.Of)],
            message => message.Id,
            (shard, part) => GrainCall.TryAgainAsync(() => shard.UpsertAsync(new Immutable<UpsertMessage[]>(part)), cancellation),
            message => message.Size());

    public async ValueTask<IReadOnlyList<bool>> SetRepresentationsAsync(IReadOnlyList<RepresentationUpdate> updates, CancellationToken cancellation) =>
        await shards.SpreadAsync(
            [.. updates.Select(RepresentationMessage.Of)],
            message => message.Id,
            (shard, part) => GrainCall.TryAgainAsync(() => shard.SetRepresentationsAsync(new Immutable<RepresentationMessage[]>(part)), cancellation),
            message => message.Size());

    public async ValueTask<IReadOnlyList<bool>> DeleteAsync(IReadOnlyList<string> ids, CancellationToken cancellation) =>
        await shards.SpreadAsync(ids, id => id, async (shard, part) =>
        {
            var (deleted, again) = await GrainCall.TryAgainOrSayAsync(() => shard.DeleteAsync(part), cancellation);

            // A try whose answer was lost may be what deleted them.
            return again ? Array.ConvertAll(deleted, _ => true) : deleted;
        });

    public async ValueTask TrimRepresentationsAsync(IReadOnlyCollection<string> keep, CancellationToken cancellation) =>
        await Task.WhenAll(shards.All.Select(shard => GrainCall.TryAgainAsync(() => shard.TrimAsync([.. keep]), cancellation)));

    public async ValueTask<long> CountAsync(CancellationToken cancellation) =>
        (await Task.WhenAll(shards.All.Select(shard => GrainCall.TryAgainAsync(shard.CountItemsAsync, cancellation, GrainCall.WhileLoading)))).Sum();

    public async IAsyncEnumerable<ItemRecord> ReadRowsAsync(IReadOnlyList<string> bundles, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var isComplete = false;
        await foreach (var page in copy.ReadAsync(bundles, cancellation))
        {
            foreach (var record in page.Records)
            {
                yield return record;
            }

            isComplete = page.Next is null;
        }

        if (!isComplete)
        {
            await foreach (var record in ReadStoredAsync(bundles, cancellation))
            {
                yield return record;
            }
        }
    }

    public IAsyncEnumerable<ItemRecord> ReadAllAsync(CancellationToken cancellation) => ReadStoredAsync(without: null, cancellation);

    /// <summary>Reads every item.</summary>
    /// <param name="without">Items that have representations for all of these bundles come without content; null = none do.</param>
    /// <param name="cancellation">Gives up.</param>
    private async IAsyncEnumerable<ItemRecord> ReadStoredAsync(IReadOnlyList<string>? without, [EnumeratorCancellation] CancellationToken cancellation)
    {
        foreach (var shard in shards.All)
        {
            var ids = await IdsAsync(shard, cancellation);
            for (var next = 0; next < ids.Length;)
            {
                var page = ids[next..Math.Min(next + Page, ids.Length)];
                var items = await GrainCall.TryAgainAsync(() => shard.ReadAsync(page, content: without is null), cancellation, GrainCall.WhileLoading);
                next += items.Length;
                string[] lacking = [.. items.OfType<ItemReading>().Where(item => without?.All(item.Has) == false).Select(item => item.Id)];
                var whole = lacking.Length == 0 ? [] : await shards.ReadAsync(lacking, content: true, cancellation);
                foreach (var item in items.OfType<ItemReading>().ExceptBy(lacking, item => item.Id).Concat(whole.OfType<ItemReading>()))
                {
                    yield return item.ToRecord();
                }
            }
        }
    }

    /// <summary>The IDs of a shard, those that lie together in storage next to each other.</summary>
    private static async Task<string[]> IdsAsync(IItemShardGrain shard, CancellationToken cancellation)
    {
        var (ids, ranks) = (new List<string>(), new List<long>());
        for (int? from = 0; from is { } part;)
        {
            var some = await GrainCall.TryAgainAsync(() => shard.IdsAsync(part), cancellation, GrainCall.WhileLoading);
            ids.AddRange(some.Ids);
            ranks.AddRange(some.Ranks);
            from = some.Next;
        }

        string[] sorted = [.. ids];
        Array.Sort(ranks.ToArray(), sorted);
        return sorted;
    }
}
