using System.Buffers.Text;
using System.Text;

namespace RecBackend.Http.Ranking;

/// <summary>A growing piece of UTF-8 with the few ways to write JSON that a ranking's reply needs. A <c>Utf8JsonWriter</c> checks and escapes what here is known to need neither.</summary>
internal sealed class Utf8Buffer(int capacity = 32 * 1024)
{
    // A shortest round-trip double has at most 24 characters.
    private const int MaxNumber = 32;

    private byte[] _bytes = new byte[capacity];
    private int _length;

    /// <summary>What was written.</summary>
    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _length);

    /// <summary>What was written, for sending.</summary>
    public ReadOnlyMemory<byte> WrittenMemory => _bytes.AsMemory(0, _length);

    /// <summary>Bytes allocated.</summary>
    public int Capacity => _bytes.Length;

    /// <summary>Writes bytes as they are.</summary>
    public void Append(ReadOnlySpan<byte> utf8)
    {
        utf8.CopyTo(Reserve(utf8.Length));
        _length += utf8.Length;
    }

    /// <summary>Room for <paramref name="length"/> bytes that the caller fills at once; they count as written.</summary>
    public Span<byte> Take(int length)
    {
        var span = Reserve(length)[..length];
        _length += length;
        return span;
    }

    /// <summary>Writes a JSON string. The text has no control characters: it is an ID.</summary>
    public void AppendString(ReadOnlySpan<byte> utf8)
    {
        Append("\""u8);
        int escape;
        while ((escape = utf8.IndexOfAny((byte)'"', (byte)'\\')) >= 0)
        {
            Append(utf8[..escape]);
            Append("\\"u8);
            Append(utf8.Slice(escape, 1));
            utf8 = utf8[(escape + 1)..];
        }

        Append(utf8);
        Append("\""u8);
    }

    /// <summary>Writes a JSON string without control characters.</summary>
    public void AppendString(string text)
    {
        Span<byte> utf8 = stackalloc byte[Encoding.UTF8.GetMaxByteCount(Math.Min(text.Length, 256))];
        AppendString(text.Length <= 256 ? utf8[..Encoding.UTF8.GetBytes(text, utf8)] : Encoding.UTF8.GetBytes(text));
    }

    /// <summary>Writes a number so that it reads back as the same 32-bit float; null if it is not finite, which JSON cannot say.</summary>
    public void AppendNumber(float value)
    {
        if (!float.IsFinite(value))
        {
            Append("null"u8);
        }
        else if (value is >= 1f / 1024 and < 1)
        {
            AppendFraction(value);
        }
        else
        {
            Utf8Formatter.TryFormat(value, Reserve(MaxNumber), out var written);
            _length += written;
        }
    }

    /// <summary>Writes a whole number.</summary>
    public void AppendNumber(long value)
    {
        Utf8Formatter.TryFormat(value, Reserve(MaxNumber), out var written);
        _length += written;
    }

    /// <summary>Empties the buffer, keeping its memory.</summary>
    public void Clear() => _length = 0;

    /// <summary>
    /// Writes a number of [1/1024, 1), where nearly all scores lie, as a fraction of fixed length without its last zeros. The shortest form would take three times as long to find, and a reply
    /// has hundreds of them. From 1/16 on floats are at least 2⁻²⁸ apart, from 1/1024 on 2⁻³⁴: nine and eleven digits tell them apart.
    /// </summary>
    private void AppendFraction(float value)
    {
        var (digits, scale) = value >= 1f / 16 ? (9, 1e9) : (11, 1e11);
        var rest = (ulong)((value * scale) + 0.5);
        var text = Reserve(digits + 2)[..(digits + 2)];
        text[0] = (byte)'0';
        text[1] = (byte)'.';
        for (var i = text.Length - 1; i > 1; i--)
        {
            (rest, var digit) = Math.DivRem(rest, 10);
            text[i] = (byte)('0' + digit);
        }

        _length += text.LastIndexOfAnyExcept((byte)'0') + 1;
    }

    private Span<byte> Reserve(int length)
    {
        if (_length + length > _bytes.Length)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _length + length));
        }

        return _bytes.AsSpan(_length);
    }
}
