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
    private readonly ReplyReader _reply = new();

    public KeepAliveConnection(IPEndPoint endpoint) => _socket.Connect(endpoint);

    /// <summary>The last response's body, valid until the next exchange.</summary>
    public ReadOnlySpan<byte> Body => _reply.Body;

    /// <summary>The bytes of a POST with a JSON body.</summary>
    /// <param name="endpoint">Whom it is for.</param>
    /// <param name="path">Its path.</param>
    /// <param name="json">Its body.</param>
    /// <param name="contentType">What the body is.</param>
    /// <param name="fields">Further header fields, each with the end of its line.</param>
    public static byte[] Post(IPEndPoint endpoint, string path, ReadOnlySpan<byte> json, string contentType = "application/json", string fields = "")
    {
        var head = $"POST {path} HTTP/1.1\r\nHost: {endpoint}\r\nContent-Type: {contentType}\r\n{fields}Content-Length: {json.Length}\r\n\r\n";
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

        _reply.Clear();
        while (!_reply.Add(_socket.Receive(_reply.Free.Span)))
        {
        }

        return _reply.Status;
    }

    public void Dispose() => _socket.Dispose();
}
