using System.Buffers.Text;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace RecBackend.Bench.Processes;

/// <summary>
/// One keep-alive HTTP/1.1 connection on a blocking socket. It does the least that a client can: one send, receive until the body is complete, no objects, no thread hops.
/// What it costs together with the loopback device is measured in every run, as the "socket" lane.
/// </summary>
internal sealed class KeepAliveConnection : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 60_000, SendTimeout = 60_000 };
    private byte[] _buffer = new byte[256 * 1024];
    private int _received;
    private Range _body;

    public KeepAliveConnection(IPEndPoint endpoint) => _socket.Connect(endpoint);

    /// <summary>The last response's body, valid until the next exchange.</summary>
    public ReadOnlySpan<byte> Body => _buffer.AsSpan(_body);

    /// <summary>The bytes of a POST with a JSON body.</summary>
    public static byte[] Post(IPEndPoint endpoint, string path, ReadOnlySpan<byte> json, string contentType = "application/json")
    {
        var head = $"POST {path} HTTP/1.1\r\nHost: {endpoint}\r\nContent-Type: {contentType}\r\nContent-Length: {json.Length}\r\n\r\n";
        return [.. Encoding.ASCII.GetBytes(head), .. json];
    }

    /// <summary>Sends a request and receives the whole response.</summary>
    /// <returns>Its status.</returns>
    public int Exchange(ReadOnlySpan<byte> request)
    {
        while (!request.IsEmpty)
        {
            request = request[_socket.Send(request)..];
        }

        _received = 0;
        int head;
        while ((head = _buffer.AsSpan(0, _received).IndexOf("\r\n\r\n"u8)) < 0)
        {
            Receive();
        }

        head += 4;
        var headers = Encoding.ASCII.GetString(_buffer, 0, head);
        var status = int.Parse(headers.AsSpan(9, 3), System.Globalization.CultureInfo.InvariantCulture);
        var length = ContentLength(headers);
        if (length >= 0)
        {
            while (_received < head + length)
            {
                Receive();
            }

            _body = head..(head + length);
        }
        else
        {
            _body = head..ReceiveChunks(head);
        }

        return status;
    }

    public void Dispose() => _socket.Dispose();

    private static int ContentLength(ReadOnlySpan<char> headers)
    {
        const string Name = "\r\nContent-Length:";
        var place = headers.IndexOf(Name, StringComparison.OrdinalIgnoreCase);
        if (place < 0)
        {
            return -1;
        }

        var value = headers[(place + Name.Length)..];
        return int.Parse(value[..value.IndexOf("\r\n")], System.Globalization.CultureInfo.InvariantCulture);
    }

    // Moves the chunks together, so that the body is one span. Returns its end.
    private int ReceiveChunks(int head)
    {
        var end = head;
        var next = head;
        while (true)
        {
            int line;
            while ((line = _buffer.AsSpan(next, _received - next).IndexOf("\r\n"u8)) < 0)
            {
                Receive();
            }

            if (!Utf8Parser.TryParse(_buffer.AsSpan(next, line), out int size, out _, 'x'))
            {
                throw new InvalidDataException("The response has neither a Content-Length nor chunks.");
            }

            next += line + 2;
            while (_received < next + size + 2)
            {
                Receive();
            }

            if (size == 0)
            {
                return end;
            }

            _buffer.AsSpan(next, size).CopyTo(_buffer.AsSpan(end));
            end += size;
            next += size + 2;
        }
    }

    private void Receive()
    {
        if (_received == _buffer.Length)
        {
            Array.Resize(ref _buffer, _buffer.Length * 2);
        }

        var count = _socket.Receive(_buffer.AsSpan(_received));
        if (count == 0)
        {
            throw new EndOfStreamException("The server closed the connection in the middle of a response.");
        }

        _received += count;
    }
}
