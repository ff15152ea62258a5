using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Orleans.Concurrency;
using RecBackend.Core.Items;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Catalog;

namespace RecBackend.Grains.Items;

/// <summary>The items of the cluster: shards of the ID space, a grain each.</summary>
internal sealed class GrainItemDirectory(ItemShards shards, CatalogCopy copy) : IItemDirectory
{
    /// <summary>Items that are asked for at once where all are read; as many come as fit into a message. And where they come without content.</summary>
    private const int Page = 256;
    private const int PageOfRows = 4_096;

    /// <summary>Shards that are read at once where all are, and pages of them that wait to be taken.</summary>
    private const int ShardsAtOnce = 8;
    private const int PagesAhead = 8;

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
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var pages = Channel.CreateBounded<List<ItemReading>>(PagesAhead);
        var reading = Task.Run(() => ReadStoredAsync(without, pages.Writer, stop.Token), CancellationToken.None);
        try
        {
            await foreach (var page in pages.Reader.ReadAllAsync(cancellation))
            {
                foreach (var item in page)
                {
                    yield return item.ToRecord();
                }
            }
        }
        finally
        {
            await stop.CancelAsync();
            await reading;
        }
    }

    private async Task ReadStoredAsync(IReadOnlyList<string>? without, ChannelWriter<List<ItemReading>> pages, CancellationToken cancellation)
    {
        try
        {
            var options = new ParallelOptions { MaxDegreeOfParallelism = ShardsAtOnce, CancellationToken = cancellation };
            await Parallel.ForEachAsync(shards.All, options, async (shard, stopped) =>
            {
                var ids = await IdsAsync(shard, stopped);
                for (var next = 0; next < ids.Length;)
                {
                    var page = ids[next..Math.Min(next + (without is null ? Page : PageOfRows), ids.Length)];
                    var items = await GrainCall.TryAgainAsync(() => shard.ReadAsync(page, content: without is null), stopped, GrainCall.WhileLoading);
                    next += items.Length;
                    string[] lacking = [.. items.OfType<ItemReading>().Where(item => without?.All(item.Has) == false).Select(item => item.Id)];
                    var whole = lacking.Length == 0 ? [] : await shards.ReadAsync(lacking, content: true, stopped);
                    await pages.WriteAsync([.. items.OfType<ItemReading>().ExceptBy(lacking, item => item.Id).Concat(whole.OfType<ItemReading>())], stopped);
                }
            });
            pages.Complete();
        }
        catch (Exception error)
        {
            // Whoever takes the pages is told.
            pages.Complete(error);
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
