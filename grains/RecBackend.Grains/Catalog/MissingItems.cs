using System.Collections.Concurrent;
using RecBackend.Core.Items;
using RecBackend.Core.Ranking;
using RecBackend.Core.Storage;
using RecBackend.Grains.Items;

namespace RecBackend.Grains.Catalog;

/// <summary>
/// Reads candidates that this silo's catalogue lacks from the shards of the items: a message that was lost is found by <see cref="CatalogRepair"/> within seconds, and by a ranking at once.
/// What is no item is remembered until that comparison has had its turn, so that callers with IDs of nothing cost one look in a few seconds.
/// </summary>
/// <param name="shards">The items.</param>
/// <param name="feed">Takes them to the catalogues.</param>
/// <param name="clock">Clock of what is remembered.</param>
/// <param name="patience">How long a ranking waits.</param>
internal sealed class MissingItems(ItemShards shards, ReplicaFeed feed, TimeProvider clock, TimeSpan patience) : IMissingItems
{
    /// <summary>How long a ranking waits by default: a small part of the time that it has.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    /// <summary>How long an ID is not looked up again.</summary>
    private static readonly TimeSpan Remembered = TimeSpan.FromSeconds(5);

    /// <summary>IDs that one ranking looks up.</summary>
    private const int MostAsked = 64;

    /// <summary>IDs that are remembered; then all are forgotten.</summary>
    private const int MostRemembered = 100_000;

    private readonly ConcurrentDictionary<string, DateTimeOffset> _asked = new(StringComparer.Ordinal);

    public async ValueTask<bool> BringAsync(IReadOnlyList<string> ids, CancellationToken cancellation)
    {
        string[] asked = [.. ids.Where(IsDue).Take(MostAsked)];
        if (asked.Length == 0)
        {
            return false;
        }

        if (_asked.Count > MostRemembered)
        {
            _asked.Clear();
        }

        var now = clock.GetUtcNow();
        Array.ForEach(asked, id => _asked[id] = now);
        try
        {
            return await ReadAsync(asked).WaitAsync(patience, cancellation);
        }
        catch (TimeoutException)
        {
            // What it finds is published all the same.
            return false;
        }
    }

    /// <summary>Reads and tells items, those of each shard by themselves: one that cannot be read keeps nothing from the others.</summary>
    private async Task<bool> ReadAsync(string[] ids) => (await Task.WhenAll(ids.GroupBy(shards.Of).Select(own => ReadOfShardAsync([.. own])))).Contains(true);

    private async Task<bool> ReadOfShardAsync(string[] ids)
    {
        try
        {
            var read = await shards.ReadAsync(ids, content: false, CancellationToken.None);
            ItemChange[] found = [.. read.OfType<ItemReading>().Select(item => item.ToRecord()).Select(record => new ItemChange(record.Id, record.Version, ItemChangeKind.Written, record, record.Counters))];
            feed.Publish(found);
            return found.Length > 0;
        }
        catch (StorageException)
        {
            // Nobody knows whether these are items.
            Array.ForEach(ids, id => _asked.TryRemove(id, out _));
            return false;
        }
    }

    private bool IsDue(string id) => !_asked.TryGetValue(id, out var at) || clock.GetUtcNow() - at > Remembered;
}
