using System.Globalization;
using System.Net;
using System.Net.Sockets;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Load;

/// <summary>
/// Rankings over HTTP/1.1 on kept connections, by sockets: requests are bytes that were made before the first arrival, and nothing is built of a reply.
/// As many connections are open as requests were on the wire at once.
/// </summary>
internal sealed class SocketExchange : IExchange
{
    private readonly IPEndPoint _endpoint;
    private readonly byte[][] _requests;
    private readonly Lock _lock = new();

    // The one that was used last comes first, as in any client: its buffers are near, and those that a burst has opened rest.
    private readonly Stack<Connection> _kept = new();

    /// <inheritdoc cref="Exchange.Create"/>
    public SocketExchange(Uri address, ReadOnlyMemory<byte>[] bodies, TimeSpan? deadline)
    {
        _endpoint = IPEndPoint.Parse(address.Authority);
        var timeout = deadline is { } time ? string.Create(CultureInfo.InvariantCulture, $"Request-Timeout-Ms: {time.TotalMilliseconds:F0}\r\n") : "";
        _requests = Array.ConvertAll(bodies, body => KeepAliveConnection.Post(_endpoint, "/v1/rank", body.Span, fields: timeout));
    }

    /// <inheritdoc/>
    public async Task<Outcome> SendAsync(int arrival, CancellationToken giveUp)
    {
        var request = _requests[arrival % _requests.Length];
        if (TakeKept() is { } kept && await TryAsync(kept, request, giveUp) is { } outcome)
        {
            return outcome;
        }

        // A server may have closed a connection that rested; a ranking changes nothing, so it may be asked for again, once, on a new one.
        return await TryAsync(new Connection(_endpoint), request, giveUp) ?? Outcome.Broken;
    }

    public void Dispose()
    {
        while (_kept.TryPop(out var connection))
        {
            connection.Dispose();
        }
    }

    /// <summary>Asks on one connection, and keeps it if that went well.</summary>
    /// <returns>What came of it; null if the connection broke before anything of an answer came.</returns>
    private async Task<Outcome?> TryAsync(Connection connection, byte[] request, CancellationToken giveUp)
    {
        try
        {
            var reply = await connection.ExchangeAsync(request, giveUp);
            var outcome = RankReply.OutcomeOf(reply.Status, reply.Body);
            if (reply.Closes)
            {
                connection.Dispose();
            }
            else
            {
                Keep(connection);
            }

            return outcome;
        }
        catch (OperationCanceledException)
        {
            connection.Dispose();
            return Outcome.TimedOut;
        }
        catch (Exception e) when (e is SocketException or IOException or InvalidDataException)
        {
            connection.Dispose();
            return giveUp.IsCancellationRequested ? Outcome.TimedOut : connection.IsUnanswered ? null : Outcome.Broken;
        }
    }

    private Connection? TakeKept()
    {
        lock (_lock)
        {
            return _kept.TryPop(out var connection) ? connection : null;
        }
    }

    private void Keep(Connection connection)
    {
        lock (_lock)
        {
            _kept.Push(connection);
        }
    }

    private sealed class Connection(IPEndPoint endpoint) : IDisposable
    {
        private readonly ReplyReader _reply = new();
        private Socket? _socket;

        public bool IsUnanswered => _reply.IsEmpty;

        public async ValueTask<ReplyReader> ExchangeAsync(ReadOnlyMemory<byte> request, CancellationToken giveUp)
        {
            _reply.Clear();
            if (_socket is null)
            {
                _socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
                await _socket.ConnectAsync(endpoint, giveUp);
            }

            while (!request.IsEmpty)
            {
                request = request[await _socket.SendAsync(request, giveUp)..];
            }

            while (!_reply.Add(await _socket.ReceiveAsync(_reply.Free, giveUp)))
            {
            }

            return _reply;
        }

        public void Dispose() => _socket?.Dispose();
    }
}
