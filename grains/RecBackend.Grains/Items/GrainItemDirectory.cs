using System.Runtime.CompilerServices;
using Orleans.Concurrency;
using RecBackend.Core.Items;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Catalog;

namespace RecBackend.Grains.Items;

/// <summary>The items of the cluster: shards of the ID space, a grain each.</summary>
internal sealed class GrainItemDirectory(ItemShards shards, CatalogCopy copy) : IItemDirectory
{
    /// <summary>Items of one page of <see cref="ReadAllAsync"/>: a few megabytes at most but for pictures.</summary>
    private const int Page = 256;

    public async ValueTask<ItemRecord?> GetAsync(string id, CancellationToken cancellation)
    {
        var read = await GrainCall.TryAgainAsync(() => shards[shards.Of(id)].GetAsync([id]), cancellation);
        return read[0]?.ToRecord();
    }

    public async ValueTask<IReadOnlyList<long>> UpsertAsync(IReadOnlyList<ItemUpsert> items, CancellationToken cancellation) =>
        await shards.SpreadAsync(
            [.. items.Select(UpsertMessage.Of)],
            message => message.Id,
            (shard, part) => GrainCall.TryAgainAsync(() => shard.UpsertAsync(new Immutable<UpsertMessage[]>(part)), cancellation));

    public async ValueTask<IReadOnlyList<bool>> SetRepresentationsAsync(IReadOnlyList<RepresentationUpdate> updates, CancellationToken cancellation) =>
        await shards.SpreadAsync(
            [.. updates.Select(RepresentationMessage.Of)],
            message => message.Id,
            (shard, part) => GrainCall.TryAgainAsync(() => shard.SetRepresentationsAsync(new Immutable<RepresentationMessage[]>(part)), cancellation));

    public async ValueTask<IReadOnlyList<bool>> DeleteAsync(IReadOnlyList<string> ids, CancellationToken cancellation) =>
        await shards.SpreadAsync(ids, id => id, (shard, part) => GrainCall.TryAgainAsync(() => shard.DeleteAsync(part), cancellation));

    public async ValueTask TrimRepresentationsAsync(IReadOnlyCollection<string> keep, CancellationToken cancellation) =>
        await Task.WhenAll(shards.All.Select(shard => GrainCall.TryAgainAsync(() => shard.TrimAsync([.. keep]), cancellation)));

    public async ValueTask<long> CountAsync(CancellationToken cancellation) =>
        (await Task.WhenAll(shards.All.Select(shard => GrainCall.TryAgainAsync(shard.CountItemsAsync, cancellation)))).Sum();

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
            await foreach (var record in ReadAllAsync(cancellation))
            {
                yield return record;
            }
        }
    }

    public async IAsyncEnumerable<ItemRecord> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        foreach (var shard in shards.All)
        {
            var ids = await GrainCall.TryAgainAsync(shard.IdsAsync, cancellation);
            foreach (var page in ids.Chunk(Page))
            {
                foreach (var item in await GrainCall.TryAgainAsync(() => shard.GetAsync(page), cancellation))
                {
                    if (item is not null)
                    {
                        yield return item.ToRecord();
                    }
                }
            }
        }
    }
}
