using System.Text;
using RecBackend.Core;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;

namespace RecBackend.Grains.Items;

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

/// <summary>The items of a shard by ID. Of each part the highest version stays, and a deletion ends what is older than it.</summary>
internal sealed class ItemIndex
{
    /// <summary>Deletions that are remembered for <see cref="DeletedSince"/>.</summary>
    private const int MostDeletions = 10_000;

    private readonly Dictionary<string, IndexedItem> _items = new(StringComparer.Ordinal);
    private readonly Dictionary<long, int> _live = [];
    private readonly CatalogDigest[] _digests = new CatalogDigest[ItemCatalog.DigestShards];
    private readonly Queue<(string Id, long Version)> _deletions = new();

    /// <summary>While the shard is loaded: when items were deleted, because changes that are older may follow.</summary>
    private Dictionary<string, long>? _deleted = new(StringComparer.Ordinal);

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

    /// <summary>The items that were deleted after a version and are not back, as far as this activation remembers.</summary>
    public IEnumerable<string> DeletedSince(long version) =>
        _deletions.Where(deletion => deletion.Version > version && !_items.ContainsKey(deletion.Id)).Select(deletion => deletion.Id).Distinct();

    public IndexedItem? Find(string id) => _items.GetValueOrDefault(id);

    /// <summary>Content and representations that are nowhere but in this segment.</summary>
    public int LiveParts(long segment) => _live.GetValueOrDefault(segment);

    /// <summary>Applies a change. While a shard is loaded, changes may come in any order and more than once; later, in the order of their versions.</summary>
    public void Apply(ItemEntry entry, Place place)
    {
        if (_deleted is not null && _deleted.TryGetValue(entry.Id, out var deletedAt) && entry.Version < deletedAt)
        {
            return;
        }

        if (entry.Deleted)
        {
            Delete(entry.Id, entry.Version);
            return;
        }

        var item = FindOrAdd(entry.Id);
        var before = item.Versions;
        if (entry.Content is not null && entry.Version >= item.ContentVersion)
        {
            PutContent(item, entry.Version, place);
        }

        if (entry.Representations is { } representations && entry.Version >= item.RepresentationsVersion)
        {
            PutRepresentations(item, entry.Version, place, Array.Exists(representations, one => one.External));
        }

        if (entry.Counters is { } counters && entry.Version >= item.CountersVersion)
        {
            (item.CountersVersion, item.Counters) = (entry.Version, counters.ToCounters());
        }

        item.Version = Math.Max(item.Version, entry.Version);
        Digest(entry.Id, before, item.Versions);
    }

    /// <summary>Applies what a page of the stored index says; pages come in the order in which they were written.</summary>
    public void Apply(in IndexEntry entry)
    {
        if (entry.ContentVersion == 0)
        {
            Delete(entry.Id, entry.Version);
            return;
        }

        var item = FindOrAdd(entry.Id);
        var before = item.Versions;
        PutContent(item, entry.ContentVersion, entry.Content);
        PutRepresentations(item, entry.RepresentationsVersion, entry.Representations, entry.HasExternal);
        (item.CountersVersion, item.Counters) = (entry.CountersVersion, entry.Counters.ToCounters());
        item.Version = Math.Max(item.Version, entry.Version);
        Digest(entry.Id, before, item.Versions);
    }

    /// <summary>Nothing older comes any more.</summary>
    public void EndLoad() => _deleted = null;

    /// <summary>What a page of the stored index has to say of an item, or of its absence.</summary>
    /// <param name="id">The item.</param>
    /// <param name="version">A version above all that the item had if it is not there.</param>
    public IndexEntry Entry(string id, long version) => Find(id) is not { } item
        ? new(id, version, 0, default, 0, default, false, 0, default)
        : new(
            id, item.Version, item.ContentVersion, item.Content, item.RepresentationsVersion, item.Representations, item.HasExternal, item.CountersVersion, CountersState.Of(item.Counters));

    /// <summary>Whether the content of an item lies there.</summary>
    public bool HasContentAt(string id, Place place) => Find(id) is { } item && item.Content == place;

    /// <summary>Whether the representations of an item lie there.</summary>
    public bool HasRepresentationsAt(string id, Place place) => Find(id) is { } item && item.Representations == place;

    /// <summary>Notes where the content of an item is read from now on, if it still is the one that lay at <paramref name="from"/>.</summary>
    public void MoveContent(string id, Place from, Place to)
    {
        if (Find(id) is { } item && item.Content == from)
        {
            PutContent(item, item.ContentVersion, to);
        }
    }

    /// <summary>Notes where the representations of an item are read from now on, if they still are those that lay at <paramref name="from"/>.</summary>
    public void MoveRepresentations(string id, Place from, Place to)
    {
        if (Find(id) is { } item && item.Representations == from)
        {
            PutRepresentations(item, item.RepresentationsVersion, to, item.HasExternal);
        }
    }

    private IndexedItem FindOrAdd(string id) => Find(id) ?? (_items[id] = new());

    private void PutContent(IndexedItem item, long version, Place place)
    {
        Forget(item.ContentVersion, item.Content);
        (item.ContentVersion, item.Content) = (version, place);
        _live[place.Segment] = LiveParts(place.Segment) + 1;
    }

    private void PutRepresentations(IndexedItem item, long version, Place place, bool hasExternal)
    {
        Forget(item.RepresentationsVersion, item.Representations);
        (item.RepresentationsVersion, item.Representations, item.HasExternal) = (version, place, hasExternal);
        _live[place.Segment] = LiveParts(place.Segment) + 1;
    }

    private void Delete(string id, long version)
    {
        _deleted?[id] = Math.Max(version, _deleted.GetValueOrDefault(id));

        if (Find(id) is not { } item || item.Version > version)
        {
            return;
        }

        _items.Remove(id);
        Digest(id, item.Versions, default);
        Forget(item.ContentVersion, item.Content);
        Forget(item.RepresentationsVersion, item.Representations);
        _deletions.Enqueue((id, version));
        if (_deletions.Count > MostDeletions)
        {
            _deletions.Dequeue();
        }
    }

    private void Forget(long version, Place place)
    {
        if (version > 0 && --_live[place.Segment] == 0)
        {
            _live.Remove(place.Segment);
        }
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
}
