using System.Buffers.Text;
using System.Text;

namespace RecBackend.Bench.Processes;

/// <summary>One HTTP/1.1 response, read from pieces as they come, with a Content-Length or in chunks. It keeps its buffer for the next.</summary>
internal sealed class ReplyReader
{
    private const int InChunks = -1;
    private const int Unknown = -2;

    private byte[] _buffer = new byte[64 * 1024];
    private int _received;
    private int _body;
    private int _end;

    // Content-Length, or one of the two above; of chunks, the next one begins at _next.
    private int _length;
    private int _next;

    /// <summary>Status of the response.</summary>
    public int Status { get; private set; }

    /// <summary>Whether the server closes the connection after it.</summary>
    public bool Closes { get; private set; }

    /// <summary>Whether nothing of it has come yet.</summary>
    public bool IsEmpty => _received == 0;

    /// <summary>The body of a response that is complete, valid until the next begins.</summary>
    public ReadOnlySpan<byte> Body => _buffer.AsSpan(_body.._end);

    /// <summary>Where the next piece goes; never empty.</summary>
    public Memory<byte> Free
    {
        get
        {
            if (_received == _buffer.Length)
            {
                Array.Resize(ref _buffer, _buffer.Length * 2);
            }

            return _buffer.AsMemory(_received);
        }
    }

    /// <summary>Forgets the response, for the next one.</summary>
    public void Clear() => (_received, _body, _end, Status) = (0, 0, 0, 0);

    /// <summary>Takes the next piece, which lies in <see cref="Free"/>.</summary>
    /// <param name="count">Its bytes; 0 when the connection has ended.</param>
    /// <returns>Whether the response is complete.</returns>
    /// <exception cref="EndOfStreamException">The connection ended in the middle of it.</exception>
    /// <exception cref="InvalidDataException">It is no response that this reader knows.</exception>
    public bool Add(int count)
    {
        if (count == 0)
        {
            throw new EndOfStreamException("The server closed the connection in the middle of a response.");
        }

        _received += count;
        if (_body == 0 && !TryReadHead())
        {
            return false;
        }

        if (_length == InChunks)
        {
            return TryReadChunks();
        }

        _end = _body + _length;
        return _received >= _end;
    }

    private bool TryReadHead()
    {
        var head = _buffer.AsSpan(0, _received);
        var end = head.IndexOf("\r\n\r\n"u8);
        if (end < 0)
        {
            return false;
        }

        if (!head.StartsWith("HTTP/1.1 "u8) || !Utf8Parser.TryParse(head[9..end], out int status, out _))
        {
            throw new InvalidDataException("The response does not begin with a status.");
        }

        (Status, Closes, _length) = (status, false, Unknown);
        _body = _end = _next = end + 4;
        for (var line = head.IndexOf("\r\n"u8) + 2; line < end;)
        {
            var rest = head[line..(end + 2)];
            var field = rest[..rest.IndexOf("\r\n"u8)];
            var colon = field.IndexOf((byte)':');
            ReadField(field[..Math.Max(colon, 0)], field[(colon + 1)..].Trim((byte)' '));
            line += field.Length + 2;
        }

        // These have no body, and need not say so.
        if (status is 204 or 304)
        {
            _length = 0;
        }

        return _length != Unknown ? true : throw new InvalidDataException("The response has neither a Content-Length nor chunks.");
    }

    private void ReadField(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        if (Ascii.EqualsIgnoreCase(name, "Content-Length"u8))
        {
            _length = Utf8Parser.TryParse(value, out int length, out var used) && used == value.Length && length >= 0
                ? length : throw new InvalidDataException("The response's Content-Length is no number of bytes.");
        }
        else if (Ascii.EqualsIgnoreCase(name, "Transfer-Encoding"u8))
        {
            _length = Ascii.EqualsIgnoreCase(value, "chunked"u8) ? InChunks : throw new InvalidDataException("The response's Transfer-Encoding is not chunked.");
        }
        else if (Ascii.EqualsIgnoreCase(name, "Connection"u8))
        {
            Closes = Ascii.EqualsIgnoreCase(value, "close"u8);
        }
    }

    /// <summary>Moves the chunks together, so that the body is one span.</summary>
    private bool TryReadChunks()
    {
        while (true)
        {
            var rest = _buffer.AsSpan(_next.._received);
            var line = rest.IndexOf("\r\n"u8);
            if (line < 0)
            {
                return false;
            }

            if (!Utf8Parser.TryParse(rest[..line], out int size, out _, 'x') || size < 0)
            {
                throw new InvalidDataException("A chunk of the response does not begin with its size.");
            }

            var begin = line + 2;
            if (rest.Length < begin + size + 2)
            {
                return false;
            }

            if (size == 0)
            {
                return true;
            }

            rest.Slice(begin, size).CopyTo(_buffer.AsSpan(_end));
            _end += size;
            _next += begin + size + 2;
        }
    }
}
