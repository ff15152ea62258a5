using System.Text;
using RecBackend.Core;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;

namespace RecBackend.Grains.Items;

/// <summary>Where a part of an item is stored.</summary>
/// <param name="Segment">The segment.</param>
/// <param name="Entry">Place of the entry in it.</param>
internal readonly record struct Place(long Segment, int Entry);

/// <summary>What a shard keeps in memory of an item: versions, counters, and where the rest is.</summary>
internal sealed class IndexedItem
{
    public long Version { get; set; }

    public long ContentVersion { get; set; }

    public Place Content { get; set; }

    public long RepresentationsVersion { get; set; }

    public Place Representations { get; set; }

    /// <summary>Whether a representation came from outside: only then must an upsert read those before it.</summary>
    public bool HasExternal { get; set; }

    public long CountersVersion { get; set; }

    /// <summary>See <see cref="ItemVersions"/>.</summary>
    public ItemVersions Versions => new(Version, Math.Max(ContentVersion, RepresentationsVersion));

    public ItemCounters Counters { get; set; } = ItemCounters.None;
}

/// <summary>
/// The items of a shard by ID. Entries may be applied in any order and more than once: of each part the highest version stays, and a deletion ends what is older than it.
/// </summary>
internal sealed class ItemIndex
{
    private readonly Dictionary<string, IndexedItem> _items = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _deleted = new(StringComparer.Ordinal);
    private readonly Dictionary<long, int> _live = [];
    private readonly CatalogDigest[] _digests = new CatalogDigest[ItemCatalog.DigestShards];

    public int Count => _items.Count;

    public IReadOnlyDictionary<string, IndexedItem> Items => _items;

    /// <summary>Count and hash of (ID, versions) of the items, by the shards that catalogues tell apart.</summary>
    public IReadOnlyList<CatalogDigest> Digests => _digests;

    /// <summary>The items of one digest, with their versions.</summary>
    public IEnumerable<KeyValuePair<string, ItemVersions>> VersionsOf(int digest) =>
        _items.Where(item => DigestOf(item.Key) == digest).Select(item => KeyValuePair.Create(item.Key, item.Value.Versions));

    /// <summary>The items that were written, or counted, after a version.</summary>
    public IEnumerable<KeyValuePair<string, ItemVersions>> ChangedSince(long version) =>
        _items.Where(item => item.Value.Version > version).Select(item => KeyValuePair.Create(item.Key, item.Value.Versions));

    /// <summary>The items that were deleted after a version and are not back.</summary>
    public IEnumerable<KeyValuePair<string, long>> DeletedSince(long version) =>
        _deleted.Where(deletion => deletion.Value > version && !_items.ContainsKey(deletion.Key));

    public IndexedItem? Find(string id) => _items.GetValueOrDefault(id);

    /// <summary>Content and representations that are nowhere but in this segment.</summary>
    public int LiveParts(long segment) => _live.GetValueOrDefault(segment);

    public void Apply(ItemEntry entry, Place place)
    {
        if (_deleted.TryGetValue(entry.Id, out var deletedAt) && entry.Version < deletedAt)
        {
            return;
        }

        _items.TryGetValue(entry.Id, out var item);
        if (entry.Deleted)
        {
            Delete(entry, item);
            return;
        }

        var before = item?.Versions ?? default;
        item ??= _items[entry.Id] = new();
        if (entry.Content is not null && entry.Version >= item.ContentVersion)
        {
            Move(item.ContentVersion == 0 ? null : item.Content, place);
            (item.ContentVersion, item.Content) = (entry.Version, place);
        }

        if (entry.Representations is { } representations && entry.Version >= item.RepresentationsVersion)
        {
            Move(item.RepresentationsVersion == 0 ? null : item.Representations, place);
            (item.RepresentationsVersion, item.Representations) = (entry.Version, place);
            item.HasExternal = Array.Exists(representations, one => one.External);
        }

        if (entry.Counters is { } counters && entry.Version >= item.CountersVersion)
        {
            (item.CountersVersion, item.Counters) = (entry.Version, counters.ToCounters());
        }

        item.Version = Math.Max(item.Version, entry.Version);
        Digest(entry.Id, before, item.Versions);
    }

    /// <summary>The entry without what newer ones replace; null if nothing is left.</summary>
    public ItemEntry? Live(ItemEntry entry)
    {
        if (entry.Deleted)
        {
            return _deleted.GetValueOrDefault(entry.Id) == entry.Version ? entry : null;
        }

        if (Find(entry.Id) is not { } item)
        {
            return null;
        }

        var live = new ItemEntry
        {
            Id = entry.Id,
            Version = entry.Version,
            Content = item.ContentVersion == entry.Version ? entry.Content : null,
            Representations = item.RepresentationsVersion == entry.Version ? entry.Representations : null,
            Counters = item.CountersVersion == entry.Version ? entry.Counters : null,
        };
        return live.Content is null && live.Representations is null && live.Counters is null ? null : live;
    }

    private void Delete(ItemEntry entry, IndexedItem? item)
    {
        _deleted[entry.Id] = Math.Max(entry.Version, _deleted.GetValueOrDefault(entry.Id));
        if (item is null || item.Version > entry.Version)
        {
            return;
        }

        _items.Remove(entry.Id);
        Digest(entry.Id, item.Versions, default);
        Forget(item.ContentVersion == 0 ? null : item.Content);
        Forget(item.RepresentationsVersion == 0 ? null : item.Representations);
    }

    /// <summary>Replaces an item's versions in its digest; those of 0 = the item is not there.</summary>
    private void Digest(string id, ItemVersions before, ItemVersions after)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        var key = utf8[..Encoding.UTF8.GetBytes(id, utf8)];
        ref var digest = ref _digests[CatalogDigest.ShardOf(key)];
        digest = before == default ? digest : digest.Without(key, before);
        digest = after == default ? digest : digest.With(key, after);
    }

    private static int DigestOf(string id)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        return CatalogDigest.ShardOf(utf8[..Encoding.UTF8.GetBytes(id, utf8)]);
    }

    private void Move(Place? from, Place to)
    {
        Forget(from);
        _live[to.Segment] = LiveParts(to.Segment) + 1;
    }

    private void Forget(Place? place)
    {
        if (place is { } known && --_live[known.Segment] == 0)
        {
            _live.Remove(known.Segment);
        }
    }
}
