using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Embeddings;

/// <summary>
/// A safetensors file with <c>embedding</c>, float32 or float16 [n, d], and <c>ids</c>, uint8: n IDs in UTF-8, each followed by a line feed; the form of a bundle's ID tables
/// (docs/bundle-format.md, section 2). A table of n + 1 rows has the unknown vector in its row 0, which is passed over. IDs are held in memory, rows are read as they are asked for. The file stays its owner's.
/// </summary>
internal sealed class EmbeddingTable
{
    private const int MaxHeader = 1024 * 1024;

    private readonly SafeFileHandle _file;
    private readonly byte[] _ids;
    private readonly int[] _idEnds;
    private readonly long _rows;
    private readonly int _length;
    private readonly bool _half;

    private EmbeddingTable(SafeFileHandle file, byte[] ids, int[] idEnds, long rows, int length, bool half)
    {
        (_file, _ids, _idEnds, _rows, _length, _half) = (file, ids, idEnds, rows, length, half);
    }

    /// <summary>How many IDs there are.</summary>
    public int Count => _idEnds.Length;

    /// <summary>Reads header and IDs.</summary>
    /// <exception cref="ProblemException">The file is not such a table.</exception>
    public static EmbeddingTable Open(FileStream stream)
    {
        stream.Flush();
        var file = stream.SafeFileHandle;
        var (header, data) = ReadHeader(file);
        using (header)
        {
            var embedding = Tensor.Read(header, "embedding", data, RandomAccess.GetLength(file));
            var ids = Tensor.Read(header, "ids", data, RandomAccess.GetLength(file));
            if (embedding is not { Type: "F32" or "F16", Shape: [var rows, var length] } || length is < 1 or > 65_536)
            {
                throw Invalid("`embedding` is a tensor F32 or F16 of two axes.");
            }

            if (ids is not { Type: "U8", Shape.Length: 1 } || ids.Bytes > int.MaxValue / 2)
            {
                throw Invalid("`ids` is a tensor U8 of one axis.");
            }

            var half = embedding.Type == "F16";
            if (embedding.Bytes != rows * length * (half ? 2 : 4) || ids.Bytes != ids.Shape[0])
            {
                throw Invalid("A tensor's shape is not that of its bytes.");
            }

            var idBytes = new byte[ids.Bytes];
            RandomAccess.Read(file, idBytes, ids.Start);
            var ends = Ends(idBytes);
            if (rows != ends.Length && rows != ends.Length + 1)
            {
                throw Invalid($"`embedding` has {rows} rows and `ids` has {ends.Length} IDs; the rows are as many, or one more for the unknown vector in row 0.");
            }

            var first = (rows - ends.Length) * length * (half ? 2 : 4);
            return new EmbeddingTable(file, idBytes, ends, embedding.Start + first, (int)length, half);
        }
    }

    /// <summary>The ID of a row; an invalid one is left to the writer to refuse.</summary>
    public string Id(int row)
    {
        var start = row == 0 ? 0 : _idEnds[row - 1] + 1;
        return Encoding.UTF8.GetString(_ids, start, _idEnds[row] - start);
    }

    /// <summary>The vector of a row.</summary>
    public float[] Row(int row)
    {
        var values = new float[_length];
        if (!_half)
        {
            RandomAccess.Read(_file, MemoryMarshal.AsBytes(values.AsSpan()), _rows + ((long)row * _length * sizeof(float)));
            return values;
        }

        var halves = new Half[_length];
        RandomAccess.Read(_file, MemoryMarshal.AsBytes(halves.AsSpan()), _rows + ((long)row * _length * 2));
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)halves[i];
        }

        return values;
    }

    private static (JsonDocument Header, long Data) ReadHeader(SafeFileHandle file)
    {
        Span<byte> prefix = stackalloc byte[sizeof(ulong)];
        if (RandomAccess.Read(file, prefix, 0) != prefix.Length)
        {
            throw Invalid("It is shorter than its header.");
        }

        var length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length > MaxHeader)
        {
            throw Invalid($"Its header has at most {MaxHeader} bytes.");
        }

        var header = new byte[length];
        if (RandomAccess.Read(file, header, prefix.Length) != header.Length)
        {
            throw Invalid("It is shorter than its header.");
        }

        try
        {
            return (JsonDocument.Parse(header), prefix.Length + header.Length);
        }
        catch (JsonException e)
        {
            throw Invalid($"Its header is not JSON. {e.Message}");
        }
    }

    private static int[] Ends(byte[] ids)
    {
        var ends = new List<int>();
        for (var i = 0; i < ids.Length; i++)
        {
            if (ids[i] == (byte)'\n')
            {
                ends.Add(i);
            }
        }

        return ids.Length == 0 || ids[^1] == (byte)'\n' ? [.. ends] : throw Invalid("The last ID lacks its line feed.");
    }

    private static ProblemException Invalid(string detail) => new(ProblemCode.SafetensorsInvalid, detail);

    private sealed record Tensor(string Type, long[] Shape, long Start, long Bytes)
    {
        public static Tensor Read(JsonDocument header, string name, long data, long fileLength)
        {
            try
            {
                var tensor = header.RootElement.GetProperty(name);
                var offsets = tensor.GetProperty("data_offsets");
                var (begin, end) = (offsets[0].GetInt64(), offsets[1].GetInt64());
                if (begin < 0 || end < begin || end > fileLength - data)
                {
                    throw Invalid($"The bytes of `{name}` lie outside of the file.");
                }

                var shape = tensor.GetProperty("shape").EnumerateArray().Select(axis => axis.GetInt64()).ToArray();
                return shape.All(axis => axis is >= 0 and <= int.MaxValue)
                    ? new Tensor(tensor.GetProperty("dtype").GetString() ?? "", shape, data + begin, end - begin)
                    : throw Invalid($"The shape of `{name}` is not one.");
            }
            catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException or FormatException or IndexOutOfRangeException)
            {
                throw Invalid($"Its header does not describe a tensor `{name}`.");
            }
        }
    }
}
