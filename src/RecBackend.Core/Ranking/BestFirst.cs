using RecBackend.Core.Items;

namespace RecBackend.Core.Ranking;

/// <summary>
/// Orders candidates by sorting numbers: a key is smaller the better its candidate is, and carries the candidate's row in its low 32 bits, so that ties fall in the request's order
/// and sorting calls no comparer.
/// </summary>
internal static class BestFirst
{
    /// <summary>Key of a candidate that is ranked by its score alone. NaN is worst.</summary>
    public static ulong Key(float score, int row) => ((ulong)~Ascending(score) << 32) | (uint)row;

    /// <summary>Key of a candidate that is ranked by its rate, and among equal rates by when it was first seen: the newest first, and before all others those not seen yet.</summary>
    public static UInt128 Key(float rate, in ItemCounters counters, int row)
    {
        var age = counters.FirstSeen == ItemCounters.NeverSeen ? 0 : ulong.MaxValue - ((ulong)counters.FirstSeen ^ (1UL << 63));
        return new UInt128(~Ascending(rate), 0) << 32 | new UInt128(0, age) << 32 | (uint)row;
    }

    /// <summary>The row of the candidate that <paramref name="key"/> belongs to.</summary>
    public static int Row(ulong key) => (int)(uint)key;

    /// <summary>The row of the candidate that <paramref name="key"/> belongs to.</summary>
    public static int Row(UInt128 key) => (int)(uint)key;

    /// <summary>Brings the <paramref name="limit"/> smallest keys to the front, in order.</summary>
    public static Span<TKey> Take<TKey>(Span<TKey> keys, int limit)
        where TKey : struct, IComparable<TKey>
    {
        if (limit < keys.Length)
        {
            SelectSmallest(keys, limit);
        }

        var taken = keys[..Math.Min(limit, keys.Length)];
        taken.Sort();
        return taken;
    }

    /// <summary>Keeps the smallest keys seen so far in a heap whose root is the largest of them: few of a request's candidates ever get in.</summary>
    private static void SelectSmallest<TKey>(Span<TKey> keys, int limit)
        where TKey : struct, IComparable<TKey>
    {
        var heap = keys[..limit];
        for (var parent = limit / 2 - 1; parent >= 0; parent--)
        {
            SiftDown(heap, parent);
        }

        for (var i = limit; i < keys.Length; i++)
        {
            if (keys[i].CompareTo(heap[0]) < 0)
            {
                (heap[0], keys[i]) = (keys[i], heap[0]);
                SiftDown(heap, 0);
            }
        }
    }

    private static void SiftDown<TKey>(Span<TKey> heap, int parent)
        where TKey : struct, IComparable<TKey>
    {
        while (true)
        {
            var child = 2 * parent + 1;
            if (child >= heap.Length)
            {
                return;
            }

            if (child + 1 < heap.Length && heap[child + 1].CompareTo(heap[child]) > 0)
            {
                child++;
            }

            if (heap[child].CompareTo(heap[parent]) <= 0)
            {
                return;
            }

            (heap[parent], heap[child]) = (heap[child], heap[parent]);
            parent = child;
        }
    }

    /// <summary>A number that orders as <paramref name="value"/> does; 0 for NaN.</summary>
    private static uint Ascending(float value)
    {
        if (float.IsNaN(value))
        {
            return 0;
        }

        // Adding 0 makes -0 equal to 0. The bits of a positive float order as it does, those of a negative one the other way round.
        var bits = BitConverter.SingleToUInt32Bits(value + 0f);
        return (bits & 0x8000_0000) == 0 ? bits | 0x8000_0000 : ~bits;
    }
}
