using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RecBackend.Core;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Items;

namespace RecBackend.Grains.Catalog;

/// <summary>
/// Finds what the catalogues of this silo have missed. Every few seconds it asks each item shard what has changed since it last asked, and reads those items of which a catalogue has older versions.
/// Digests find the rest, whatever the cause: where one differs from the shards' and neither has moved since the last look, its items are listed.
/// <para>
/// It compares with the truth and not with other replicas, which may have missed the same message; all replicas come to the same versions because all come to the shards'.
/// </para>
/// </summary>
internal sealed class CatalogRepair(ItemShards shards, ModelDirectory models, ReplicaFeed feed, ILogger<CatalogRepair> log) : BackgroundService
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(3);

    /// <summary>What a message may still be on its way.</summary>
    private static readonly TimeSpan InFlight = TimeSpan.FromMilliseconds(200);

    /// <summary>A shard that takes longer is looked at the next time, so that the others' changes do not wait for it; but every few times it is waited for, as it may always be slow.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private const int PatientEvery = 5;
    private const int Page = 256;

    private readonly SemaphoreSlim _turn = new(1);
    private readonly long?[] _asked = new long?[shards.Count];
    private readonly ConditionalWeakTable<ItemCatalog, Comparison> _compared = [];

    /// <summary>Items that the catalogues were behind with at the last comparison.</summary>
    public int Lag { get; private set; }

    /// <summary>Compares and repairs once.</summary>
    /// <param name="cancellation">Gives up.</param>
    /// <param name="patience">How long the answer of a shard is waited for; null = as long as calls are tried again.</param>
    /// <returns>Items that a catalogue was behind with.</returns>
    /// <exception cref="StorageException">A shard cannot be read; what others have changed is repaired.</exception>
    /// <exception cref="TimeoutException">As before, of a shard that did not answer in time.</exception>
    public async Task<int> RunAsync(CancellationToken cancellation, TimeSpan? patience = null)
    {
        await _turn.WaitAsync(cancellation);
        try
        {
            // The shards first: what the catalogues have then is at least as new, or behind.
            var asked = Enumerable.Range(0, shards.Count).Select(shard => GrainCall.TryAgainAsync(() => shards[shard].CompareAsync(_asked[shard]), cancellation)
                .WaitAsync(patience ?? Timeout.InfiniteTimeSpan, cancellation)).ToArray();
            await ((Task)Task.WhenAll(asked)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            var states = Array.ConvertAll(asked, one => one.IsCompletedSuccessfully ? one.Result : null);
            var catalogs = models.FilledCatalogs;
            if (catalogs.Count == 0)
            {
                return 0;
            }

            // A shard that cannot be read keeps nothing from the items of the others.
            var unreadable = new HashSet<int>();
            var repaired = await RepairChangedAsync(states.OfType<ShardState>(), catalogs, unreadable, cancellation);
            for (var shard = 0; shard < states.Length; shard++)
            {
                _asked[shard] = unreadable.Contains(shard) ? _asked[shard] : states[shard]?.Changed.Version ?? _asked[shard];
            }

            var truth = Digests(states);
            foreach (var catalog in catalogs)
            {
                repaired += await RepairDigestsAsync(truth, catalog, unreadable, cancellation);
            }

            Lag = repaired;
            await Task.WhenAll(asked);
            return unreadable.Count == 0 ? repaired : throw new StorageException(StorageException.Unreadable, $"Items of {unreadable.Count} shards cannot be read.");
        }
        finally
        {
            _turn.Release();
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        for (var look = 1; !stoppingToken.IsCancellationRequested; look++)
        {
            try
            {
                // Not all silos at once.
                await Task.Delay(Every * (0.75 + (0.5 * Random.Shared.NextDouble())), stoppingToken);
                if (models.Status.Ready && await RunAsync(stoppingToken, look % PatientEvery == 0 ? null : Patience) is var repaired and > 0)
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

    /// <summary>Of what changed lately, repairs what has not arrived.</summary>
    private async Task<int> RepairChangedAsync(IEnumerable<ShardState> states, IReadOnlyList<ItemCatalog> catalogs, HashSet<int> unreadable, CancellationToken cancellation)
    {
        var written = states.SelectMany(state => state.Changed.Items).Where(item => IsBehind(catalogs, item)).ToList();
        var deleted = states.SelectMany(state => state.Deleted, (state, id) => (Id: id, state.Changed.Version)).Where(item => IsThere(catalogs, item.Id)).ToList();
        if (written.Count + deleted.Count == 0)
        {
            return 0;
        }

        await Task.Delay(InFlight, cancellation);
        written.RemoveAll(item => !IsBehind(catalogs, item));
        deleted.RemoveAll(item => !IsThere(catalogs, item.Id));
        feed.Publish([.. deleted.Select(item => Deletion(item.Id, item.Version))]);
        await ReadAsync([.. written.Select(item => item.Key)], unreadable, cancellation);
        return written.Count + deleted.Count;
    }

    /// <summary>Repairs what differs although nothing moves, and everything that differs when a catalogue is seen for the first time.</summary>
    private async Task<int> RepairDigestsAsync(CatalogDigest?[] truth, ItemCatalog catalog, HashSet<int> unreadable, CancellationToken cancellation)
    {
        var before = _compared.GetOrCreateValue(catalog);
        var repaired = 0;
        for (var digest = 0; digest < truth.Length; digest++)
        {
            if (truth[digest] is not { } there || shards.OfDigest(digest).Any(unreadable.Contains))
            {
                continue;
            }

            var (here, last) = (catalog.Digest(digest), before.Last[digest]);
            if (here != there && (!before.IsListed[digest] || (last == (there, here) && before.Repaired[digest] != last)))
            {
                repaired += await RepairDigestAsync(catalog, digest, unreadable, cancellation);
                if (shards.OfDigest(digest).Any(unreadable.Contains))
                {
                    // Not all of it was repaired: to be listed again.
                    continue;
                }

                // Items that no encoder can take differ for ever, and are not to be listed every time.
                here = catalog.Digest(digest);
                before.Repaired[digest] = (there, here);
            }

            before.Last[digest] = (there, here);
            before.IsListed[digest] = true;
        }

        return repaired;
    }

    private async Task<int> RepairDigestAsync(ItemCatalog catalog, int digest, HashSet<int> unreadable, CancellationToken cancellation)
    {
        var lists = new Dictionary<int, ShardVersions>();
        foreach (var (shard, versions) in await Task.WhenAll(shards.OfDigest(digest).Select(async shard => (shard, await VersionsAsync(shard, digest, cancellation)))))
        {
            if (versions is null)
            {
                unreadable.Add(shard);
                return 0;
            }

            lists.Add(shard, versions);
        }

        var here = catalog.Versions(digest);
        var behind = new List<string>();
        foreach (var (id, versions) in lists.Values.SelectMany(list => list.Items))
        {
            if (!here.Remove(id, out var has) || has.IsBehind(versions))
            {
                behind.Add(id);
            }
        }

        ItemChange[] deleted = [.. here.Keys.Select(id => Deletion(id, lists[shards.Of(id)].Version))];
        feed.Publish(deleted);
        await ReadAsync(behind, unreadable, cancellation);
        return deleted.Length + behind.Count;
    }

    /// <summary>The versions of a digest's items in a shard; null if it cannot be asked.</summary>
    private async Task<ShardVersions?> VersionsAsync(int shard, int digest, CancellationToken cancellation)
    {
        try
        {
            return await GrainCall.TryAgainAsync(() => shards[shard].VersionsAsync(digest), cancellation);
        }
        catch (StorageException error)
        {
            log.LogWarning(error, "A shard of the items does not list them");
            return null;
        }
    }

    /// <summary>Reads items and tells them; notes the shards of which some cannot be read, and goes on with the others.</summary>
    private async Task ReadAsync(IReadOnlyList<string> ids, HashSet<int> unreadable, CancellationToken cancellation)
    {
        foreach (var page in ids.GroupBy(shards.Of).SelectMany(own => own.Chunk(Page)))
        {
            if (unreadable.Contains(shards.Of(page[0])))
            {
                continue;
            }

            ItemReading?[] items;
            try
            {
                items = await shards.ReadAsync(page, content: false, cancellation);
            }
            catch (StorageException error)
            {
                log.LogWarning(error, "Items of a shard cannot be read");
                unreadable.Add(shards.Of(page[0]));
                continue;
            }

            feed.Publish([.. items.OfType<ItemReading>().Select(item => item.ToRecord()).Select(record => new ItemChange(record.Id, record.Version, ItemChangeKind.Written, record, record.Counters))]);
        }
    }

    /// <summary>The digests of the stored items; null where one of the shards that may hold such items cannot be read.</summary>
    private CatalogDigest?[] Digests(ShardState?[] states)
    {
        var digests = new CatalogDigest?[ItemCatalog.DigestShards];
        for (var digest = 0; digest < digests.Length; digest++)
        {
            digests[digest] = shards.OfDigest(digest).All(shard => states[shard] is not null) ? default(CatalogDigest) : null;
        }

        foreach (var digest in states.OfType<ShardState>().SelectMany(state => state.Digests))
        {
            digests[digest.Digest] = digests[digest.Digest]?.And(new(digest.Count, digest.Hash));
        }

        return digests;
    }

    private static ItemChange Deletion(string id, long version) => new(id, version, ItemChangeKind.Deleted, null, ItemCounters.None);

    private static bool IsBehind(IReadOnlyList<ItemCatalog> catalogs, KeyValuePair<string, ItemVersions> item)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        var id = utf8[..Encoding.UTF8.GetBytes(item.Key, utf8)];
        foreach (var catalog in catalogs)
        {
            if (!catalog.TryGetVersions(id, out var here) || here.IsBehind(item.Value))
            {
                return true;
            }
        }

        return false;
    }

    private static bool IsThere(IReadOnlyList<ItemCatalog> catalogs, string id)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        var key = utf8[..Encoding.UTF8.GetBytes(id, utf8)];
        foreach (var catalog in catalogs)
        {
            if (catalog.Contains(key))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>What was seen of a catalogue: of each digest the shards' and its own.</summary>
    private sealed class Comparison
    {
        /// <summary>Whether it was compared item by item since the catalogue was filled, or had no need to be.</summary>
        public bool[] IsListed { get; } = new bool[ItemCatalog.DigestShards];

        public (CatalogDigest Truth, CatalogDigest Here)[] Last { get; } = new (CatalogDigest, CatalogDigest)[ItemCatalog.DigestShards];

        public (CatalogDigest Truth, CatalogDigest Here)[] Repaired { get; } = new (CatalogDigest, CatalogDigest)[ItemCatalog.DigestShards];
    }
}
