using System.Runtime.CompilerServices;
using System.Text;
using RecBackend.Core.Features;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;

namespace RecBackend.Core.Catalog;

/// <summary>
/// Rows of all items for one bundle, in memory. Readers take no lock, and never see half of an update; writers take turns. docs/catalog.md says how, and what an item costs.
/// <para>
/// Writes may come in any order and more than once: of an item's row and of its counters the catalogue keeps what has the highest item version, each on its own.
/// A deletion is a version too, so an older row that comes late does not bring the item back.
/// </para>
/// </summary>
public sealed class ItemCatalog
{
    /// <summary>An epoch at which no catalogue ever is: of what was computed elsewhere.</summary>
    internal const long NoEpoch = 0;

    /// <summary>Shards of the ID space that <see cref="Digest"/> tells apart.</summary>
    public const int DigestShards = 256;

    // Candidates whose memory is asked for at once: about as many as a core has places for outstanding lines.
    private const int GatherBlock = 16;

    // One counter for the catalogues of a process: no two of them are ever at the same epoch, also not two that were made for the same bundle one after the other.
    private static long _lastEpoch;

    private readonly Lock _writing = new();
    private readonly EntryTable _entries = new();
    private readonly RowPages _rows;
    private readonly IReadOnlyList<StatisticField> _statistics;
    private readonly int[] _agePlaces;
    private readonly CatalogDigest[] _digests = new CatalogDigest[DigestShards];
    private int _count;
    private long _version;
    private long _rowsEpoch = Interlocked.Increment(ref _lastEpoch);

    /// <summary>Makes an empty catalogue for the rows of <paramref name="layout"/>.</summary>
    public ItemCatalog(ModelLayout layout, RowPrecision precision)
    {
        VectorWidth = layout.ItemId + layout.Representation;
        RowWidth = layout.Row;
        Precision = precision;
        _statistics = layout.Statistics;
        _rows = new RowPages(VectorWidth, layout.Statistics.Count, precision);
        _agePlaces = [.. Enumerable.Range(0, _statistics.Count).Where(i => _statistics[i].Kind == StatisticKind.Age).Select(i => VectorWidth + i)];
    }

    private ItemCatalog()
    {
        _statistics = [];
        _agePlaces = [];
        _rows = new RowPages(0, 0, RowPrecision.Single);
    }

    /// <summary>Floats of ID embedding ‖ representation.</summary>
    public int VectorWidth { get; }

    /// <summary>Floats of a row as the ranker reads it: vectors, then statistics.</summary>
    public int RowWidth { get; }

    /// <summary>Form in which the vectors are kept.</summary>
    public RowPrecision Precision { get; }

    /// <summary>Items that have a row.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>The highest item version that was applied; 0 if none was.</summary>
    public long Version => Volatile.Read(ref _version);

    /// <summary>
    /// Raised whenever vectors that were there before are others now, are gone or are back: what was computed of rows read at another epoch may be out of date.
    /// New items do not raise it, nor counters, nor a row that is written again as it was, so a bulk load does not. An epoch names one state of one catalogue of this process;
    /// 0 (<see cref="NoEpoch"/>) names none.
    /// </summary>
    internal long RowsEpoch => Volatile.Read(ref _rowsEpoch);

    /// <summary>What the catalogue holds in memory.</summary>
    public CatalogMemory MemoryUsage
    {
        get
        {
            lock (_writing)
            {
                return new(_count, _entries.Count - _count, _rows.Bytes, _entries.EntryBytes, _entries.IdBytes, _entries.TableBytes);
            }
        }
    }

    /// <summary>A catalogue of counters alone, for the fallback of a host without a bundle.</summary>
    public static ItemCatalog OfCounters() => new();

    /// <summary>Writes an item's row and counters, each unless a newer one was applied.</summary>
    /// <param name="id">The item's ID in UTF-8, 1 to 128 bytes.</param>
    /// <param name="version">The item's version.</param>
    /// <param name="vectors">[dId + dRep]: ID embedding ‖ representation.</param>
    /// <param name="cold">Whether training did not know the item.</param>
    /// <param name="counters">Its counters.</param>
    /// <param name="rowVersion">The version at which the row was written, where counters alone have changed since; null = <paramref name="version"/>.</param>
    /// <returns>Whether the row or the counters were newer than what the catalogue had.</returns>
    public bool Put(ReadOnlySpan<byte> id, long version, ReadOnlySpan<float> vectors, bool cold, in ItemCounters counters, long? rowVersion = null)
    {
        ThrowIfInvalid(id);
        if (vectors.Length != VectorWidth)
        {
            throw new ArgumentException($"A row of this catalogue has {VectorWidth} floats of vectors, not {vectors.Length}.", nameof(vectors));
        }

        lock (_writing)
        {
            ref var entry = ref _entries.FindOrAdd(id, IdHash.OfProcess(id));
            var newerRow = (rowVersion ?? version) > entry.RowVersion;
            var newerCounters = version > entry.CountersVersion;
            if (!newerRow && !newerCounters)
            {
                return false;
            }

            // A late row of an item that was deleted since brings nothing back, and neither do its counters.
            if (!newerRow && entry.Row == Entry.NoRow)
            {
                return false;
            }

            ExcludeFromDigest(id, entry);
            var isNew = entry.RowVersion == Entry.NeverWritten && entry.CountersVersion == Entry.NeverWritten;
            var changesRow = newerRow && !isNew && (entry.Row == Entry.NoRow || !_rows.Holds(entry.Row, vectors));
            var row = entry.Row == Entry.NoRow ? _rows.Rent() : entry.Row;
            _count += entry.Row == Entry.NoRow ? 1 : 0;
            entry.BeginWrite();
            if (newerRow)
            {
                Volatile.Write(ref entry.Row, row);
                entry.RowVersion = rowVersion ?? version;
                entry.Cold = cold;
                _rows.WriteVectors(row, vectors);
            }

            if (newerCounters)
            {
                entry.CountersVersion = version;
                entry.Counters = counters;
            }

            StatisticFeatures.WriteTimeless(_statistics, entry.Counters, _rows.Statistics(row));
            entry.EndWrite();
            IncludeInDigest(id, entry);
            RaiseVersion(version);
            RaiseRowsEpoch(changesRow);
            return true;
        }
    }

    /// <summary>Rewrites an item's counters and the statistics made of them, unless newer ones were applied. Counters may come before the row that they belong to.</summary>
    /// <returns>Whether the counters were newer.</returns>
    public bool UpdateCounters(ReadOnlySpan<byte> id, long version, in ItemCounters counters)
    {
        ThrowIfInvalid(id);
        lock (_writing)
        {
            ref var entry = ref _entries.FindOrAdd(id, IdHash.OfProcess(id));
            if (version <= entry.CountersVersion)
            {
                return false;
            }

            ExcludeFromDigest(id, entry);
            entry.BeginWrite();
            entry.CountersVersion = version;
            entry.Counters = counters;
            if (entry.Row != Entry.NoRow)
            {
                StatisticFeatures.WriteTimeless(_statistics, counters, _rows.Statistics(entry.Row));
            }

            entry.EndWrite();
            IncludeInDigest(id, entry);
            RaiseVersion(version);
            return true;
        }
    }

    /// <summary>Removes an item's row and counters, each unless a newer one was applied. What stays is a tombstone: the ID and its version.</summary>
    /// <returns>Whether the deletion was newer than the row.</returns>
    public bool Delete(ReadOnlySpan<byte> id, long version)
    {
        ThrowIfInvalid(id);
        lock (_writing)
        {
            ref var entry = ref _entries.FindOrAdd(id, IdHash.OfProcess(id));
            if (version <= entry.RowVersion)
            {
                return false;
            }

            ExcludeFromDigest(id, entry);
            var row = entry.Row;
            entry.BeginWrite();
            Volatile.Write(ref entry.Row, Entry.NoRow);
            entry.RowVersion = version;
            if (version > entry.CountersVersion)
            {
                entry.CountersVersion = version;
                entry.Counters = ItemCounters.None;
            }

            entry.EndWrite();
            if (row != Entry.NoRow)
            {
                // Only now: a reader that still copies the row will find the entry's sequence changed, whoever writes the row next.
                _rows.Return(row);
                _count--;
            }

            RaiseVersion(version);
            RaiseRowsEpoch(row != Entry.NoRow);
            return true;
        }
    }

    /// <summary>Whether the item has a row.</summary>
    public bool Contains(ReadOnlySpan<byte> id)
    {
        ref var entry = ref _entries.Find(id, IdHash.OfProcess(id));
        return !Unsafe.IsNullRef(ref entry) && Volatile.Read(ref entry.Row) != Entry.NoRow;
    }

    /// <summary>The item version of the row.</summary>
    /// <returns>Whether the item has a row.</returns>
    internal bool TryGetRowVersion(ReadOnlySpan<byte> id, out long version)
    {
        ref var entry = ref _entries.Find(id, IdHash.OfProcess(id));
        if (Unsafe.IsNullRef(ref entry))
        {
            version = 0;
            return false;
        }

        version = Volatile.Read(ref entry.RowVersion);
        return Volatile.Read(ref entry.Row) != Entry.NoRow;
    }

    /// <summary>The versions of an item's row and counters.</summary>
    /// <returns>Whether the item has a row.</returns>
    public bool TryGetVersions(ReadOnlySpan<byte> id, out ItemVersions versions)
    {
        lock (_writing)
        {
            ref var entry = ref _entries.Find(id, IdHash.OfProcess(id));
            var found = !Unsafe.IsNullRef(ref entry) && entry.Row != Entry.NoRow;
            versions = found ? entry.Versions : default;
            return found;
        }
    }

    /// <summary>Reads rows by their places, for a copy elsewhere. Items that come meanwhile get places above those there are.</summary>
    /// <param name="from">Place of the first: 0, or what the call before returned.</param>
    /// <param name="most">How many rows at most.</param>
    /// <param name="rows">Takes them.</param>
    /// <returns>Where to go on; null at the end.</returns>
    internal int? ReadRows(int from, int most, List<CatalogRow> rows)
    {
        lock (_writing)
        {
            var place = from;
            for (var left = most; place < _entries.Count && left > 0; place++)
            {
                ref readonly var entry = ref _entries.EntryAt(place);
                if (entry.Row != Entry.NoRow)
                {
                    rows.Add(RowOf(Encoding.UTF8.GetString(_entries.IdAt(place)), entry));
                    left--;
                }
            }

            return place < _entries.Count ? place : null;
        }
    }

    /// <summary>The row of an item, or null if it has none.</summary>
    internal CatalogRow? ReadRow(string id)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        var key = utf8[..Encoding.UTF8.GetBytes(id, utf8)];
        lock (_writing)
        {
            ref var entry = ref _entries.Find(key, IdHash.OfProcess(key));
            return Unsafe.IsNullRef(ref entry) || entry.Row == Entry.NoRow ? null : RowOf(id, entry);
        }
    }

    /// <summary>Copies an item's ID embedding ‖ representation.</summary>
    /// <param name="id">The item's ID in UTF-8.</param>
    /// <param name="vectors">[dId + dRep] floats.</param>
    /// <returns>Whether the item has a row; if not, <paramref name="vectors"/> holds nothing of use.</returns>
    public bool TryGetRow(ReadOnlySpan<byte> id, Span<float> vectors)
    {
        ref var entry = ref _entries.Find(id, IdHash.OfProcess(id));
        return !Unsafe.IsNullRef(ref entry) && TryRead(ref entry, vectors[..VectorWidth], [], out _, out _);
    }

    /// <summary>Looks up candidates, each once, and copies the rows of those that the catalogue has.</summary>
    /// <param name="candidates">The candidates.</param>
    /// <param name="time">The request's time in Unix milliseconds, for ages.</param>
    /// <param name="into">Takes the rows; what it held is overwritten.</param>
    public void Gather(CandidateList candidates, long time, CandidateRows into)
    {
        into.Reset(candidates.Count, RowWidth, VectorWidth);
        Span<ulong> hashes = stackalloc ulong[GatherBlock];
        for (var begin = 0; begin < candidates.Count; begin += GatherBlock)
        {
            var count = Math.Min(GatherBlock, candidates.Count - begin);
            Approach(candidates, begin, hashes[..count]);
            for (var i = 0; i < count; i++)
            {
                GatherAt(candidates, begin + i, hashes[i], time, into);
            }
        }
    }

    /// <summary>Count and hash of (ID, versions) of the items in one shard of the ID space. Two catalogues that were fed the same have the same digests.</summary>
    /// <param name="shard">From 0 to <see cref="DigestShards"/>.</param>
    public CatalogDigest Digest(int shard)
    {
        lock (_writing)
        {
            return _digests[shard];
        }
    }

    /// <summary>Count and hash of (ID, versions) of all items.</summary>
    public CatalogDigest TotalDigest
    {
        get
        {
            lock (_writing)
            {
                return _digests.Aggregate((all, shard) => all.And(shard));
            }
        }
    }

    /// <summary>The items that <see cref="Digest"/> of the shard is of, with their versions.</summary>
    /// <param name="shard">From 0 to <see cref="DigestShards"/>.</param>
    public Dictionary<string, ItemVersions> Versions(int shard)
    {
        var versions = new Dictionary<string, ItemVersions>(StringComparer.Ordinal);
        lock (_writing)
        {
            for (var number = 0; number < _entries.Count; number++)
            {
                ref readonly var entry = ref _entries.EntryAt(number);
                if (entry.Row != Entry.NoRow && CatalogDigest.ShardOf(_entries.IdAt(number)) == shard)
                {
                    versions.Add(Encoding.UTF8.GetString(_entries.IdAt(number)), entry.Versions);
                }
            }
        }

        return versions;
    }

    /// <summary>
    /// Hashes a block of candidates and brings near what their look-up will read. Cell, entry, ID and row hang on each other, and each lies somewhere else: one candidate after the other
    /// would wait for main memory four times each; here the waits of a block go on at the same time.
    /// </summary>
    private void Approach(CandidateList candidates, int begin, Span<ulong> hashes)
    {
        Span<int> numbers = stackalloc int[GatherBlock];
        for (var i = 0; i < hashes.Length; i++)
        {
            hashes[i] = IdHash.OfProcess(candidates[begin + i]);
            _entries.PrefetchCell(hashes[i]);
        }

        for (var i = 0; i < hashes.Length; i++)
        {
            numbers[i] = _entries.PrefetchEntry(hashes[i]);
        }

        for (var i = 0; i < hashes.Length; i++)
        {
            if (numbers[i] != EntryTable.NoEntry && _entries.PrefetchId(numbers[i]) is var row and not Entry.NoRow)
            {
                _rows.PrefetchRow(row);
            }
        }
    }

    private void GatherAt(CandidateList candidates, int place, ulong hash, long time, CandidateRows into)
    {
        if (into.IsRepeated(candidates, place, hash))
        {
            return;
        }

        ref var entry = ref _entries.Find(candidates[place], hash);
        var row = into.NextRow;
        if (Unsafe.IsNullRef(ref entry) || !TryRead(ref entry, row[..VectorWidth], row[VectorWidth..], out var cold, out var counters))
        {
            into.AddUnknown(place);
            return;
        }

        foreach (var age in _agePlaces)
        {
            row[age] = StatisticFeatures.Age(counters.FirstSeen, time);
        }

        into.Add(place, cold, counters);
    }

    private CatalogRow RowOf(string id, in Entry entry)
    {
        var vectors = new float[VectorWidth];
        _rows.ReadVectors(entry.Row, vectors);
        return new(id, entry.Versions, entry.Counters, vectors);
    }

    private static void ThrowIfInvalid(ReadOnlySpan<byte> id)
    {
        if (id.IsEmpty || id.Length > EntityId.MaxBytes)
        {
            throw new ArgumentException($"An ID has 1 to {EntityId.MaxBytes} bytes, not {id.Length}.", nameof(id));
        }
    }

    /// <summary>Copies what belongs to an entry at one moment.</summary>
    private bool TryRead(ref Entry entry, Span<float> vectors, Span<float> statistics, out bool cold, out ItemCounters counters)
    {
        var patience = new SpinWait();
        while (true)
        {
            var sequence = Volatile.Read(ref entry.Sequence);
            if ((sequence & 1) == 0)
            {
                var row = Volatile.Read(ref entry.Row);
                cold = entry.Cold;
                counters = entry.Counters;
                if (row != Entry.NoRow)
                {
                    _rows.ReadVectors(row, vectors);
                    _rows.ReadStatistics(row, statistics);
                }

                Volatile.ReadBarrier();
                if (entry.Sequence == sequence)
                {
                    return row != Entry.NoRow;
                }
            }

            patience.SpinOnce(sleep1Threshold: -1);
        }
    }

    private void RaiseVersion(long version)
    {
        if (version > _version)
        {
            Volatile.Write(ref _version, version);
        }
    }

    /// <summary>After the row, so that whoever sees the new epoch sees the new row.</summary>
    private void RaiseRowsEpoch(bool changed)
    {
        if (changed)
        {
            Volatile.Write(ref _rowsEpoch, Interlocked.Increment(ref _lastEpoch));
        }
    }

    private void IncludeInDigest(ReadOnlySpan<byte> id, in Entry entry) => ChangeDigest(id, entry, 1);

    private void ExcludeFromDigest(ReadOnlySpan<byte> id, in Entry entry) => ChangeDigest(id, entry, -1);

    private void ChangeDigest(ReadOnlySpan<byte> id, in Entry entry, int by)
    {
        if (entry.Row == Entry.NoRow)
        {
            return;
        }

        ref var digest = ref _digests[CatalogDigest.ShardOf(id)];
        digest = by > 0 ? digest.With(id, entry.Versions) : digest.Without(id, entry.Versions);
    }
}

/// <summary>A row on its way to another catalogue.</summary>
/// <param name="Id">The item.</param>
/// <param name="Versions">Its versions.</param>
/// <param name="Counters">Its counters.</param>
/// <param name="Vectors">[dId + dRep]: ID embedding ‖ representation.</param>
internal readonly record struct CatalogRow(string Id, ItemVersions Versions, ItemCounters Counters, float[] Vectors);

/// <summary>Versions of an item: a change of the row that was lost must not be hidden by a later change of the counters.</summary>
/// <param name="Item">The item's version: of row and counters, the higher one.</param>
/// <param name="Row">The version at which the row was written.</param>
public readonly record struct ItemVersions(long Item, long Row)
{
    /// <summary>Whether something here is older than there.</summary>
    public bool IsBehind(ItemVersions other) => Item < other.Item || Row < other.Row;
}

/// <summary>Count and hash of a set of (ID, versions).</summary>
/// <param name="Count">How many.</param>
/// <param name="Hash">XOR of their hashes, the same in every process.</param>
public readonly record struct CatalogDigest(int Count, ulong Hash)
{
    /// <summary>The digest of this set and one more.</summary>
    /// <param name="id">The ID in UTF-8.</param>
    /// <param name="versions">Its versions.</param>
    public CatalogDigest With(ReadOnlySpan<byte> id, ItemVersions versions) => new(Count + 1, Hash ^ HashOf(id, versions));

    /// <summary>The digest of this set without one of it.</summary>
    public CatalogDigest Without(ReadOnlySpan<byte> id, ItemVersions versions) => new(Count - 1, Hash ^ HashOf(id, versions));

    /// <summary>The digest of two sets that share no ID.</summary>
    public CatalogDigest And(CatalogDigest other) => new(Count + other.Count, Hash ^ other.Hash);

    /// <summary>The shard of <see cref="ItemCatalog.DigestShards"/> that an ID belongs to.</summary>
    public static int ShardOf(ReadOnlySpan<byte> id) => (int)(IdHash.Stable(id) % ItemCatalog.DigestShards);

    private static ulong HashOf(ReadOnlySpan<byte> id, ItemVersions versions) => IdHash.Mix(IdHash.Mix(IdHash.Stable(id), (ulong)versions.Item), (ulong)versions.Row);
}

/// <summary>Form in which a catalogue keeps ID embeddings and representations.</summary>
public enum RowPrecision
{
    /// <summary>32-bit floats: scores are exactly those of the bundle.</summary>
    Single,

    /// <summary>16-bit floats: half the memory; values carry 11 significant bits.</summary>
    Half,
}

/// <summary>Memory that a catalogue holds, in bytes.</summary>
/// <param name="Items">Items that have a row.</param>
/// <param name="Tombstones">IDs without a row whose versions are remembered.</param>
/// <param name="RowBytes">Pages of rows.</param>
/// <param name="EntryBytes">Pages of entries: sequence, versions, counters.</param>
/// <param name="IdBytes">Arenas of IDs.</param>
/// <param name="TableBytes">Look-up tables.</param>
public readonly record struct CatalogMemory(int Items, int Tombstones, long RowBytes, long EntryBytes, long IdBytes, long TableBytes)
{
    /// <summary>All bytes.</summary>
    public long Total => RowBytes + EntryBytes + IdBytes + TableBytes;

    /// <summary>Bytes for each item; 0 in an empty catalogue.</summary>
    public double PerItem => Items == 0 ? 0 : (double)Total / Items;
}
