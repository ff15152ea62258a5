using System.Net;
using System.Net.Sockets;
using System.Text;

namespace RecBackend.Bench.Processes;

/// <summary>
/// Answers every request of one connection with the same bytes, on a blocking thread. Measuring it gives what the bench's own client and the loopback device cost:
/// the part of every HTTP figure that no server can take away.
/// </summary>
internal sealed class CannedResponder : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly byte[] _response;
    private readonly int _requestLength;

    /// <param name="requestLength">Bytes of every request.</param>
    /// <param name="body">Body of every response.</param>
    public CannedResponder(int requestLength, ReadOnlySpan<byte> body)
    {
        _requestLength = requestLength;
        _response = [.. Encoding.ASCII.GetBytes($"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n"), .. body];
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(1);
        new Thread(Serve) { IsBackground = true, Name = "canned responder" }.Start();
    }

    public IPEndPoint Endpoint => (IPEndPoint)_listener.LocalEndPoint!;

    public void Dispose() => _listener.Dispose();

    private void Serve()
    {
        try
        {
            using var connection = _listener.Accept();
            connection.NoDelay = true;
            var buffer = new byte[64 * 1024];
            while (true)
            {
                for (var left = _requestLength; left > 0;)
                {
                    var count = connection.Receive(buffer.AsSpan(0, Math.Min(left, buffer.Length)));
                    if (count == 0)
                    {
                        return;
                    }

                    left -= count;
                }

                connection.Send(_response);
            }
        }
        catch (SocketException)
        {
            // The bench is over and has closed its end.
        }
    }
}
