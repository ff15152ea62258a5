using RecBackend.Core.Items;
using RecBackend.Core.Ranking;

namespace RecBackend.Core.Catalog;

/// <summary>What <see cref="ItemCatalog.Gather"/> found of a request's candidates. Reusable: the buffers grow to the largest request and stay.</summary>
public sealed class CandidateRows
{
    private int _rowWidth;
    private int _vectorWidth;
    private int[] _places = [];
    private bool[] _cold = [];
    private ItemCounters[] _counters = [];
    private int[] _unknown = [];
    private int _unknownCount;

    // Open addressing over the hashes of this request's candidates: place + 1, and 0 is empty.
    private int[] _seen = [];
    private ulong[] _hashes = [];
    private int _seenMask;

    /// <summary>N: candidates that have a row, repetitions left out.</summary>
    public int Count { get; private set; }

    /// <summary>[N, dRow] floats in pinned memory; longer than that.</summary>
    public float[] Rows { get; private set; } = [];

    /// <summary>Of each row the candidate's place in the request, rising.</summary>
    public ReadOnlySpan<int> Places => _places.AsSpan(0, Count);

    /// <summary>Of each row whether training did not know the item.</summary>
    public ReadOnlySpan<bool> Cold => _cold.AsSpan(0, Count);

    /// <summary>Of each row the item's counters.</summary>
    public ReadOnlySpan<ItemCounters> Counters => _counters.AsSpan(0, Count);

    /// <summary>Places of the candidates that have no row, rising; repetitions left out.</summary>
    public ReadOnlySpan<int> Unknown => _unknown.AsSpan(0, _unknownCount);

    /// <summary>Statistics at the end of row <paramref name="index"/>.</summary>
    public ReadOnlySpan<float> Statistics(int index) => Rows.AsSpan(index * _rowWidth + _vectorWidth, _rowWidth - _vectorWidth);

    /// <summary>Where the next row goes.</summary>
    internal Span<float> NextRow => Rows.AsSpan(Count * _rowWidth, _rowWidth);

    /// <summary>Empties it and makes room for <paramref name="candidates"/>.</summary>
    internal void Reset(int candidates, int rowWidth, int vectorWidth)
    {
        _rowWidth = rowWidth;
        _vectorWidth = vectorWidth;
        Count = 0;
        _unknownCount = 0;
        if (Rows.Length < candidates * rowWidth)
        {
            Rows = GC.AllocateUninitializedArray<float>(Grown(candidates * rowWidth), pinned: true);
        }

        if (_places.Length < candidates)
        {
            var size = Grown(candidates);
            _places = new int[size];
            _cold = new bool[size];
            _counters = new ItemCounters[size];
            _unknown = new int[size];
            _hashes = new ulong[size];
            _seen = new int[size * 2];
        }

        var cells = Math.Min(Grown(candidates) * 2, _seen.Length);
        _seenMask = cells - 1;
        _seen.AsSpan(0, cells).Clear();
    }

    /// <summary>Whether the candidate at <paramref name="place"/> came before in the request.</summary>
    internal bool IsRepeated(CandidateList candidates, int place, ulong hash)
    {
        _hashes[place] = hash;
        for (var cell = (int)(hash >> 32) & _seenMask; ; cell = (cell + 1) & _seenMask)
        {
            var seen = _seen[cell];
            if (seen == 0)
            {
                _seen[cell] = place + 1;
                return false;
            }

            if (_hashes[seen - 1] == hash && candidates[seen - 1].SequenceEqual(candidates[place]))
            {
                return true;
            }
        }
    }

    /// <summary>Keeps <see cref="NextRow"/> as the row of the candidate at <paramref name="place"/>.</summary>
    internal void Add(int place, bool cold, in ItemCounters counters)
    {
        _places[Count] = place;
        _cold[Count] = cold;
        _counters[Count] = counters;
        Count++;
    }

    /// <summary>Notes that the candidate at <paramref name="place"/> has no row.</summary>
    internal void AddUnknown(int place) => _unknown[_unknownCount++] = place;

    private static int Grown(int size) => (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(size, 16));
}
