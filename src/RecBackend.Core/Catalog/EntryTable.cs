using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace RecBackend.Core.Catalog;

/// <summary>
/// ID → entry. Grows only: entries and IDs are appended to pages that never move, so a reference to an entry stays good.
/// Any number of readers without a lock, one writer at a time.
/// </summary>
internal sealed class EntryTable
{
    /// <summary>Number of no entry.</summary>
    public const int NoEntry = -1;

    private const int PageBits = 12;
    private const int PageSize = 1 << PageBits;
    private const int ArenaBits = 16;
    private const int ArenaSize = 1 << ArenaBits;

    // The table is cut in shards by the top bits of the hash. Each grows on its own, so a write waits for the copy of one shard, not of the whole table.
    private const int ShardBits = 8;
    private const int FirstShardSize = 16;

    // A cell is (hash tag, entry number + 1), and 0 is an empty cell. Cells are filled once and never emptied.
    private readonly ulong[][] _shards = new ulong[1 << ShardBits][];
    private readonly int[] _used = new int[1 << ShardBits];
    private Entry[][] _pages = [];
    private byte[][] _arenas = [];
    private int _arenaUsed = ArenaSize;

    public EntryTable()
    {
        for (var shard = 0; shard < _shards.Length; shard++)
        {
            _shards[shard] = new ulong[FirstShardSize];
        }
    }

    /// <summary>The ID of an entry by its number, 0 to <see cref="Count"/>.</summary>
    public ReadOnlySpan<byte> IdAt(int number) => IdOf(in At(number));

    /// <summary>An entry by its number, 0 to <see cref="Count"/>.</summary>
    public ref readonly Entry EntryAt(int number) => ref At(number);

    /// <summary>Number of entries.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of the entry pages.</summary>
    public long EntryBytes => (long)_pages.Length * PageSize * Unsafe.SizeOf<Entry>();

    /// <summary>Bytes of the ID arenas.</summary>
    public long IdBytes => (long)_arenas.Length * ArenaSize;

    /// <summary>Bytes of the look-up shards.</summary>
    public long TableBytes { get; private set; } = (1L << ShardBits) * FirstShardSize * sizeof(ulong);

    /// <summary>First of three steps by which a look-up of many IDs waits for memory once instead of once for each: asks for the cell.</summary>
    public void PrefetchCell(ulong hash)
    {
        var cells = Volatile.Read(ref _shards[hash >> (64 - ShardBits)]);
        Prefetch.Line(ref cells[(int)hash & (cells.Length - 1)]);
    }

    /// <summary>Second step, when the cell is near: asks for the entry that most likely is the one.</summary>
    /// <returns>Its number, or <see cref="NoEntry"/>.</returns>
    public int PrefetchEntry(ulong hash)
    {
        var cells = Volatile.Read(ref _shards[hash >> (64 - ShardBits)]);
        var mask = cells.Length - 1;
        for (var place = (int)hash & mask; ; place = (place + 1) & mask)
        {
            var cell = Volatile.Read(ref cells[place]);
            if (cell == 0)
            {
                return NoEntry;
            }

            if (cell >> 32 == Tag(hash))
            {
                // Two lines: entries do not begin where lines do.
                ref var entry = ref At(Number(cell));
                Prefetch.Line(in entry.Sequence);
                Prefetch.Line(in entry.Counters);
                return Number(cell);
            }
        }
    }

    /// <summary>Third step, when the entry is near: asks for the ID.</summary>
    /// <returns>The row that the entry has at this moment, for the caller to ask for; <see cref="Entry.NoRow"/> if none.</returns>
    public int PrefetchId(int number)
    {
        ref var entry = ref At(number);
        Prefetch.Line(ref MemoryMarshal.GetReference(IdOf(in entry)));
        return Volatile.Read(ref entry.Row);
    }

    /// <summary>The entry of <paramref name="id"/>, or a null reference.</summary>
    public ref Entry Find(ReadOnlySpan<byte> id, ulong hash)
    {
        var cells = Volatile.Read(ref _shards[hash >> (64 - ShardBits)]);
        var mask = cells.Length - 1;
        for (var place = (int)hash & mask; ; place = (place + 1) & mask)
        {
            var cell = Volatile.Read(ref cells[place]);
            if (cell == 0)
            {
                return ref Unsafe.NullRef<Entry>();
            }

            if (cell >> 32 == Tag(hash))
            {
                ref var entry = ref At(Number(cell));
                if (IdOf(in entry).SequenceEqual(id))
                {
                    return ref entry;
                }
            }
        }
    }

    /// <summary>The entry of <paramref name="id"/>; a new one has no row and was never written. For the writer alone.</summary>
    public ref Entry FindOrAdd(ReadOnlySpan<byte> id, ulong hash)
    {
        ref var known = ref Find(id, hash);
        if (!Unsafe.IsNullRef(ref known))
        {
            return ref known;
        }

        var number = Count;
        if (number >> PageBits == _pages.Length)
        {
            Append(ref _pages, GC.AllocateArray<Entry>(PageSize, pinned: true));
        }

        ref var entry = ref At(number);
        entry = new Entry
        {
            Row = Entry.NoRow,
            IdAddress = Store(id),
            IdLength = (byte)id.Length,
            RowVersion = Entry.NeverWritten,
            CountersVersion = Entry.NeverWritten,
            Counters = Items.ItemCounters.None,
        };
        Publish(hash, number);
        Count = number + 1;
        return ref entry;
    }

    // Neither the bits that choose the shard nor, in all but huge shards, those that choose the cell.
    private static ulong Tag(ulong hash) => (uint)(hash >> 24);

    private static int Number(ulong cell) => (int)(uint)cell - 1;

    private static void Append<T>(ref T[] pages, T page)
    {
        T[] grown = [.. pages, page];
        Volatile.Write(ref pages, grown);
    }

    private ref Entry At(int number) => ref Volatile.Read(ref _pages)[number >> PageBits][number & (PageSize - 1)];

    private ReadOnlySpan<byte> IdOf(in Entry entry) =>
        Volatile.Read(ref _arenas)[entry.IdAddress >> ArenaBits].AsSpan((int)(entry.IdAddress & (ArenaSize - 1)), entry.IdLength);

    private uint Store(ReadOnlySpan<byte> id)
    {
        if (_arenaUsed + id.Length > ArenaSize)
        {
            if (_arenas.Length == 1 << (32 - ArenaBits))
            {
                throw new InvalidOperationException("The catalogue is full: its IDs take 4 GiB.");
            }

            Append(ref _arenas, GC.AllocateUninitializedArray<byte>(ArenaSize, pinned: true));
            _arenaUsed = 0;
        }

        id.CopyTo(_arenas[^1].AsSpan(_arenaUsed));
        var address = ((uint)(_arenas.Length - 1) << ArenaBits) | (uint)_arenaUsed;
        _arenaUsed += id.Length;
        return address;
    }

    private void Publish(ulong hash, int number)
    {
        var shard = (int)(hash >> (64 - ShardBits));
        if ((_used[shard] + 1) * 4 > _shards[shard].Length * 3)
        {
            Grow(shard);
        }

        Insert(_shards[shard], hash, (Tag(hash) << 32) | (uint)(number + 1));
        _used[shard]++;
    }

    /// <summary>Copies a shard to one of twice the size, off to the side, and publishes it by one reference write; readers of the old one find what was there.</summary>
    private void Grow(int shard)
    {
        var old = _shards[shard];
        var grown = new ulong[old.Length * 2];
        foreach (var cell in old)
        {
            if (cell != 0)
            {
                Insert(grown, IdHash.OfProcess(IdOf(in At(Number(cell)))), cell);
            }
        }

        Volatile.Write(ref _shards[shard], grown);
        TableBytes += (long)(grown.Length - old.Length) * sizeof(ulong);
    }

    private static void Insert(ulong[] cells, ulong hash, ulong cell)
    {
        var mask = cells.Length - 1;
        var place = (int)hash & mask;
        while (cells[place] != 0)
        {
            place = (place + 1) & mask;
        }

        Volatile.Write(ref cells[place], cell);
    }
}
