using System.Numerics.Tensors;
using System.Runtime.InteropServices;

namespace RecBackend.Core.Catalog;

/// <summary>
/// Rows of one width in pages of contiguous, pinned memory that never move. A row is <c>vectors</c> (ID embedding ‖ representation) in the chosen precision, padded to 4 bytes,
/// then <c>statistics</c> as 32-bit floats: their digits tell apart items with many impressions, and there are few of them.
/// Reading does not lock and does not check anything: the owner's <see cref="Entry.Sequence"/> says whether what was read is to be used.
/// </summary>
internal sealed class RowPages(int vectors, int statistics, RowPrecision precision)
{
    private const int PageBits = 12;
    private const int PageSize = 1 << PageBits;
    private const float LargestHalf = 65504;

    private readonly int _statisticsAt = precision == RowPrecision.Half ? (vectors * 2 + 3) / 4 * 4 : vectors * 4;
    private readonly Stack<int> _free = new();
    private byte[][] _pages = [];
    private int _used;

    /// <summary>Bytes of a row.</summary>
    public int Stride => _statisticsAt + statistics * sizeof(float);

    /// <summary>Bytes of all pages.</summary>
    public long Bytes => (long)_pages.Length * PageSize * Stride;

    /// <summary>A row that nobody owns. For the writer alone.</summary>
    public int Rent()
    {
        if (_free.TryPop(out var row))
        {
            return row;
        }

        if (_used >> PageBits == _pages.Length)
        {
            byte[][] grown = [.. _pages, GC.AllocateUninitializedArray<byte>(PageSize * Stride, pinned: true)];
            Volatile.Write(ref _pages, grown);
        }

        return _used++;
    }

    /// <summary>Takes a row back, after its owner has let it go. For the writer alone.</summary>
    public void Return(int row) => _free.Push(row);

    /// <summary>Asks for a row before it is read.</summary>
    public void PrefetchRow(int row) => Prefetch.Lines(At(row));

    /// <summary>Reads ID embedding ‖ representation.</summary>
    public void ReadVectors(int row, Span<float> destination)
    {
        var bytes = At(row)[.._statisticsAt];
        if (precision == RowPrecision.Half)
        {
            TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(bytes)[..vectors], destination);
        }
        else
        {
            MemoryMarshal.Cast<byte, float>(bytes).CopyTo(destination);
        }
    }

    /// <summary>Reads the statistics; nothing if <paramref name="destination"/> is empty.</summary>
    public void ReadStatistics(int row, Span<float> destination) => Statistics(row)[..destination.Length].CopyTo(destination);

    /// <summary>Writes ID embedding ‖ representation.</summary>
    public void WriteVectors(int row, ReadOnlySpan<float> source)
    {
        var bytes = At(row)[.._statisticsAt];
        if (precision == RowPrecision.Half)
        {
            var halves = MemoryMarshal.Cast<byte, Half>(bytes);
            Span<float> bounded = stackalloc float[64];
            while (!source.IsEmpty)
            {
                // An outlier becomes the largest 16-bit float, not an infinity, which would make a NaN of the score.
                var some = Math.Min(source.Length, bounded.Length);
                TensorPrimitives.Min(source[..some], LargestHalf, bounded);
                TensorPrimitives.Max(bounded[..some], -LargestHalf, bounded);
                TensorPrimitives.ConvertToHalf(bounded[..some], halves);
                source = source[some..];
                halves = halves[some..];
            }
        }
        else
        {
            source.CopyTo(MemoryMarshal.Cast<byte, float>(bytes));
        }
    }

    /// <summary>Whether the row's vectors are, bit by bit, what writing <paramref name="source"/> would make of them. For the writer alone.</summary>
    public bool Holds(int row, ReadOnlySpan<float> source)
    {
        var bytes = At(row)[.._statisticsAt];
        if (precision == RowPrecision.Single)
        {
            return bytes[..(vectors * sizeof(float))].SequenceEqual(MemoryMarshal.AsBytes(source));
        }

        var halves = MemoryMarshal.Cast<byte, ushort>(bytes);
        for (var i = 0; i < source.Length; i++)
        {
            if (halves[i] != BitConverter.HalfToUInt16Bits((Half)Math.Max(Math.Min(source[i], LargestHalf), -LargestHalf)))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The statistics of a row, in place.</summary>
    public Span<float> Statistics(int row) => MemoryMarshal.Cast<byte, float>(At(row)[_statisticsAt..]);

    private Span<byte> At(int row) => Volatile.Read(ref _pages)[row >> PageBits].AsSpan((row & (PageSize - 1)) * Stride, Stride);
}
