using System.Buffers.Binary;
using System.Globalization;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace RecBackend.Scoring.Bundles;

/// <summary>Element types that bundles use.</summary>
internal enum TensorType
{
    U8,
    F16,
    F32,
    I64,
}

/// <summary>Where a tensor lies in its file.</summary>
/// <param name="Type">Element type.</param>
/// <param name="Shape">Axes.</param>
/// <param name="Offset">From the start of the file, in bytes.</param>
/// <param name="Count">Number of elements.</param>
internal sealed record TensorEntry(TensorType Type, IReadOnlyList<long> Shape, long Offset, long Count)
{
    public string ShapeText => "[" + string.Join(", ", Shape) + "]";
}

/// <summary>
/// Reads a safetensors file: 8 bytes of header length, a JSON header, then the tensors back to back.
/// Every length and offset of the header is checked against the file before it is used.
/// </summary>
internal sealed class SafeTensors : IDisposable
{
    private const int MaxHeaderBytes = 16 << 20;
    private const int ChunkBytes = 1 << 20;

    private readonly SafeFileHandle _file;

    private SafeTensors(SafeFileHandle file, IReadOnlyDictionary<string, TensorEntry> tensors)
    {
        _file = file;
        Tensors = tensors;
    }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors { get; }

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="InvalidDataException">It is not a safetensors file, is truncated, or its tensors overlap or leave gaps.</exception>
    public static SafeTensors Open(string path)
    {
        var file = File.OpenHandle(path, options: FileOptions.SequentialScan);
        try
        {
            return new SafeTensors(file, ReadHeader(file));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads an F32 or F16 tensor as 32-bit floats.</summary>
    public float[] ReadFloats(TensorEntry tensor, bool pinned = false)
    {
        var values = Allocate<float>(tensor, pinned);
        if (tensor.Type == TensorType.F32)
        {
            Read(tensor.Offset, values);
        }
        else if (tensor.Type == TensorType.F16)
        {
            ReadHalves(tensor.Offset, values);
        }
        else
        {
            throw new InvalidDataException($"A tensor is {tensor.Type}, not F32 or F16.");
        }

        return values;
    }

    /// <summary>Reads an I64 tensor.</summary>
    public long[] ReadIntegers(TensorEntry tensor, bool pinned = false)
    {
        if (tensor.Type != TensorType.I64)
        {
            throw new InvalidDataException($"A tensor is {tensor.Type}, not I64.");
        }

        var values = Allocate<long>(tensor, pinned);
        Read(tensor.Offset, values);
        return values;
    }

    /// <summary>Reads a U8 tensor.</summary>
    public byte[] ReadBytes(TensorEntry tensor)
    {
        if (tensor.Type != TensorType.U8)
        {
            throw new InvalidDataException($"A tensor is {tensor.Type}, not U8.");
        }

        var values = Allocate<byte>(tensor, pinned: false);
        Read(tensor.Offset, values);
        return values;
    }

    public void Dispose() => _file.Dispose();

    private static T[] Allocate<T>(TensorEntry tensor, bool pinned)
    {
        if (tensor.Count > Array.MaxLength)
        {
            throw new InvalidDataException($"A tensor of {tensor.Count} elements is too large for one array.");
        }

        return GC.AllocateUninitializedArray<T>((int)tensor.Count, pinned);
    }

    private void Read<T>(long offset, T[] values)
        where T : unmanaged
    {
        var size = Marshal.SizeOf<T>();
        var chunk = ChunkBytes / size;
        for (var start = 0; start < values.Length; start += chunk)
        {
            var part = values.AsSpan(start, Math.Min(chunk, values.Length - start));
            ReadExactly(_file, MemoryMarshal.AsBytes(part), offset + ((long)start * size));
        }
    }

    private void ReadHalves(long offset, float[] values)
    {
        var halves = new Half[Math.Min(values.Length, ChunkBytes / 2)];
        for (var start = 0; start < values.Length; start += halves.Length)
        {
            var part = halves.AsSpan(0, Math.Min(halves.Length, values.Length - start));
            ReadExactly(_file, MemoryMarshal.AsBytes(part), offset + ((long)start * 2));
            TensorPrimitives.ConvertToSingle(part, values.AsSpan(start));
        }
    }

    private static void ReadExactly(SafeFileHandle file, Span<byte> destination, long offset)
    {
        while (!destination.IsEmpty)
        {
            var read = RandomAccess.Read(file, destination, offset);
            if (read == 0)
            {
                throw new InvalidDataException("The file is truncated.");
            }

            destination = destination[read..];
            offset += read;
        }
    }

    private static Dictionary<string, TensorEntry> ReadHeader(SafeFileHandle file)
    {
        var length = RandomAccess.GetLength(file);
        if (length < 8)
        {
            throw new InvalidDataException("The file is truncated: it has no header.");
        }

        Span<byte> prefix = stackalloc byte[8];
        ReadExactly(file, prefix, 0);
        var headerLength = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (headerLength > MaxHeaderBytes || (long)headerLength > length - 8)
        {
            throw new InvalidDataException($"The header is said to take {headerLength} bytes, more than there are or more than {MaxHeaderBytes}.");
        }

        var header = new byte[(int)headerLength];
        ReadExactly(file, header, 8);
        var begin = 8 + (long)headerLength;
        var tensors = ParseHeader(header, begin);
        CheckNoGapNorOverlap(tensors, begin, length);
        return tensors;
    }

    private static Dictionary<string, TensorEntry> ParseHeader(byte[] header, long begin)
    {
        try
        {
            using var document = JsonDocument.Parse(header);
            var tensors = new Dictionary<string, TensorEntry>(StringComparer.Ordinal);
            foreach (var property in document.RootElement.EnumerateObject())
            {
                if (property.Name != "__metadata__" && !tensors.TryAdd(property.Name, ParseEntry(property, begin)))
                {
                    throw new InvalidDataException($"The tensor {property.Name} is there twice.");
                }
            }

            return tensors;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or FormatException or KeyNotFoundException)
        {
            throw new InvalidDataException("The header is not one of safetensors: " + exception.Message, exception);
        }
    }

    private static TensorEntry ParseEntry(JsonProperty property, long begin)
    {
        var (type, size) = property.Value.GetProperty("dtype").GetString() switch
        {
            "U8" => (TensorType.U8, 1),
            "F16" => (TensorType.F16, 2),
            "F32" => (TensorType.F32, 4),
            "I64" => (TensorType.I64, 8),
            var other => throw new InvalidDataException($"The tensor {property.Name} is {other}; U8, F16, F32 and I64 are read."),
        };
        var shape = new List<long>();
        long count = 1;
        foreach (var axis in property.Value.GetProperty("shape").EnumerateArray())
        {
            var extent = axis.GetInt64();
            var (high, low) = (Math.BigMul(count, extent, out var product), product);
            if (extent < 0 || high != 0 || low < 0)
            {
                throw new InvalidDataException($"The shape of tensor {property.Name} is not possible.");
            }

            shape.Add(extent);
            count = low;
        }

        var offsets = property.Value.GetProperty("data_offsets");
        var (first, last) = offsets.GetArrayLength() == 2
            ? (offsets[0].GetInt64(), offsets[1].GetInt64())
            : throw new InvalidDataException($"The data_offsets of tensor {property.Name} are not two.");
        if (first < 0 || last < first || last > long.MaxValue - begin || count != (last - first) / size || (last - first) % size != 0)
        {
            throw new InvalidDataException(string.Create(
                CultureInfo.InvariantCulture, $"The tensor {property.Name} has {count} elements of {size} bytes, but its bytes are {first} to {last}."));
        }

        return new TensorEntry(type, shape, begin + first, count);
    }

    /// <summary>The format asks that tensors fill the file exactly: a gap or an overlap could hide other bytes.</summary>
    private static void CheckNoGapNorOverlap(Dictionary<string, TensorEntry> tensors, long begin, long length)
    {
        var end = begin;
        foreach (var (name, tensor) in tensors.OrderBy(pair => pair.Value.Offset).ThenBy(pair => pair.Value.Count))
        {
            if (tensor.Offset != end)
            {
                throw new InvalidDataException($"The tensor {name} overlaps the one before it, or leaves a gap.");
            }

            end += tensor.Count * SizeOf(tensor.Type);
        }

        if (end != length)
        {
            throw new InvalidDataException(
                end > length ? $"The file is truncated: {length} bytes instead of {end}." : $"The file has {length - end} bytes after its last tensor.");
        }
    }

    private static int SizeOf(TensorType type) => type switch { TensorType.U8 => 1, TensorType.F16 => 2, TensorType.F32 => 4, _ => 8 };
}
