using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Items;

namespace RecBackend.Grains.Catalog;

/// <summary>
/// Finds what a replica of the catalogue has missed: every few seconds it compares its digests with those of the item shards, and reads the items that differ. It compares with the truth and not with
/// other replicas, which may have missed the same message; all replicas come to the same versions because all come to the shards'.
/// </summary>
internal sealed class CatalogRepair(ItemShards shards, ModelDirectory models, ReplicaFeed feed, ILogger<CatalogRepair> log) : BackgroundService
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(3);
    private const int Page = 256;

    // What differed when it was last repaired, and still did after: items that no encoder can take differ for ever, and are not to be read every time.
    private readonly Dictionary<int, (CatalogDigest Truth, CatalogDigest Replica)> _known = [];

    /// <summary>Compares and repairs once.</summary>
    /// <returns>Items that differed.</returns>
    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        using var lease = models.Lease();
        var catalog = lease.Catalog;
        var truth = new CatalogDigest[ItemCatalog.DigestShards];
        foreach (var digests in await Task.WhenAll(shards.All.Select(shard => GrainCall.TryAgainAsync(shard.DigestsAsync, cancellation))))
        {
            foreach (var digest in digests)
            {
                truth[digest.Digest] = truth[digest.Digest].And(new(digest.Count, digest.Hash));
            }
        }

        var repaired = 0;
        for (var digest = 0; digest < truth.Length; digest++)
        {
            var replica = catalog.Digest(digest);
            if (replica == truth[digest])
            {
                _known.Remove(digest);
            }
            else if (!_known.TryGetValue(digest, out var known) || known != (truth[digest], replica))
            {
                repaired += await RepairAsync(catalog, digest, cancellation);
                _known[digest] = (truth[digest], catalog.Digest(digest));
            }
        }

        return repaired;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                // Not all silos at once.
                await Task.Delay(Every * (0.75 + (0.5 * Random.Shared.NextDouble())), stoppingToken);
                if (models.Status.Ready && await RunAsync(stoppingToken) is var repaired and > 0)
                {
                    log.LogInformation("{Count} items of the catalogue were behind and are repaired", repaired);
                }
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error)
            {
                log.LogWarning(error, "The catalogue could not be compared with the items");
            }
        }
    }

    private async Task<int> RepairAsync(ItemCatalog catalog, int digest, CancellationToken cancellation)
    {
        var lists = await Task.WhenAll(shards.All.Select(shard => GrainCall.TryAgainAsync(() => shard.VersionsAsync(digest), cancellation)));

        // After the lists: what the replica has then is at least as new as they are, or a difference.
        var replica = catalog.Versions(digest);
        var behind = new List<string>();
        foreach (var (id, version) in lists.SelectMany(list => list.Ids.Zip(list.Versions)))
        {
            if (!replica.Remove(id, out var has) || has < version)
            {
                behind.Add(id);
            }
        }

        ItemChange[] deleted = [.. replica.Keys.Select(id => new ItemChange(id, lists[shards.Of(id)].Version, ItemChangeKind.Deleted, null, ItemCounters.None))];
        feed.Publish(deleted);
        foreach (var page in behind.Chunk(Page))
        {
            var items = await shards.SpreadAsync(page, id => id, (shard, ids) => GrainCall.TryAgainAsync(() => shard.GetAsync(ids), cancellation));
            feed.Publish([.. items.OfType<ItemReading>().Select(item => item.ToRecord()).Select(record => new ItemChange(record.Id, record.Version, ItemChangeKind.Written, record, record.Counters))]);
        }

        return deleted.Length + behind.Count;
    }
}
