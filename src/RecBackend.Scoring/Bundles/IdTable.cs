using System.Numerics;
using System.Text;
using RecBackend.Core;

namespace RecBackend.Scoring.Bundles;

/// <summary>
/// An ID table of a bundle in memory: embeddings as 32-bit floats and an open-addressing index from an ID's UTF-8 bytes to its row.
/// A look-up allocates nothing. Immutable, so readers need no lock.
/// </summary>
internal sealed class IdTable
{
    private readonly float[] _embeddings;
    private readonly byte[] _ids;

    /// <summary>End of ID i in <see cref="_ids"/>; it begins one byte (the line feed) after the end of ID i − 1.</summary>
    private readonly int[] _ends;

    /// <summary>Row of the ID at each place, 0 where there is none: row 0 is the unknown vector and has no ID. At most half full.</summary>
    private readonly int[] _index;

    private readonly int _width;

    private IdTable(float[] embeddings, int width, byte[] ids, int[] ends, int[] index)
    {
        _embeddings = embeddings;
        _width = width;
        _ids = ids;
        _ends = ends;
        _index = index;
    }

    /// <summary>How many IDs training knew.</summary>
    public int Count => _ends.Length;

    /// <summary>Floats of one embedding.</summary>
    public int Width => _width;

    /// <summary>Reads a table.</summary>
    /// <param name="path">The safetensors file.</param>
    /// <param name="width">Floats of an embedding, by the manifest.</param>
    /// <exception cref="InvalidDataException">It is damaged, or does not have the tensors and shapes of docs/bundle-format.md, section 2.</exception>
    public static IdTable Load(string path, int width)
    {
        using var file = SafeTensors.Open(path);
        if (!file.Tensors.TryGetValue("embedding", out var embedding) || !file.Tensors.TryGetValue("ids", out var ids))
        {
            throw new InvalidDataException("It lacks the tensor embedding or ids.");
        }

        if (embedding.Type is not (TensorType.F32 or TensorType.F16) || embedding.Shape.Count != 2 || embedding.Shape[0] < 1 || embedding.Shape[1] != width)
        {
            throw new InvalidDataException($"embedding is {embedding.Type} {embedding.ShapeText}; the manifest asks for floats [n + 1, {width}].");
        }

        if (ids.Type != TensorType.U8 || ids.Shape.Count != 1)
        {
            throw new InvalidDataException($"ids is {ids.Type} {ids.ShapeText}; it must be U8 [bytes].");
        }

        var bytes = file.ReadBytes(ids);
        var ends = SplitLines(bytes, checked((int)Math.Min(embedding.Shape[0] - 1, Array.MaxLength)));
        var table = new IdTable(file.ReadFloats(embedding), width, bytes, ends, new int[IndexSize(ends.Length)]);
        table.FillIndex();
        return table;
    }

    /// <summary>Writes the embedding of an ID, or row 0 if training did not know it.</summary>
    /// <returns>Whether training knew it.</returns>
    public bool TryGet(ReadOnlySpan<byte> id, Span<float> destination)
    {
        var row = _index[Find(id)];
        _embeddings.AsSpan(row * _width, _width).CopyTo(destination);
        return row != 0;
    }

    /// <inheritdoc cref="TryGet(ReadOnlySpan{byte}, Span{float})"/>
    public bool TryGet(string id, Span<float> destination)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        return Encoding.UTF8.TryGetBytes(id, utf8, out var length)
            ? TryGet(utf8[..length], destination)
            : TryGet([], destination); // longer than any ID
    }

    private ReadOnlySpan<byte> IdOf(int row)
    {
        var begin = row == 1 ? 0 : _ends[row - 2] + 1;
        return _ids.AsSpan(begin, _ends[row - 1] - begin);
    }

    private int Find(ReadOnlySpan<byte> id)
    {
        var mask = _index.Length - 1;
        var place = Hash(id) & mask;
        while (_index[place] != 0 && !IdOf(_index[place]).SequenceEqual(id))
        {
            place = (place + 1) & mask;
        }

        return place;
    }

    private void FillIndex()
    {
        for (var row = 1; row <= _ends.Length; row++)
        {
            var id = IdOf(row);
            if (!EntityId.IsValid(id))
            {
                throw new InvalidDataException($"The ID of row {row} is not a valid one.");
            }

            var place = Find(id);
            if (_index[place] != 0)
            {
                throw new InvalidDataException($"The ID {Encoding.UTF8.GetString(id)} is there twice, as rows {_index[place]} and {row}.");
            }

            _index[place] = row;
        }
    }

    private static int Hash(ReadOnlySpan<byte> id)
    {
        var hash = default(HashCode);
        hash.AddBytes(id);
        return hash.ToHashCode();
    }

    private static int IndexSize(int count) =>
        count <= 1 << 28
            ? (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(4, count * 2))
            : throw new InvalidDataException($"A table of {count} IDs is too large; {1 << 28} is the most.");

    private static int[] SplitLines(ReadOnlySpan<byte> bytes, int expected)
    {
        var lines = bytes.Count((byte)'\n');
        if (lines != expected || (!bytes.IsEmpty && bytes[^1] != '\n'))
        {
            throw new InvalidDataException($"ids holds {lines} IDs, each to end with a line feed, for {expected} rows after row 0.");
        }

        var ends = new int[lines];
        var begin = 0;
        for (var line = 0; line < lines; line++)
        {
            ends[line] = begin + bytes[begin..].IndexOf((byte)'\n');
            begin = ends[line] + 1;
        }

        return ends;
    }
}
