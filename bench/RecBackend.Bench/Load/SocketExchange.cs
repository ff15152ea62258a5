using System.Globalization;
using System.Net.Sockets;
using System.Text;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Load;

/// <summary>
/// Rankings over HTTP/1.1 on kept connections, by sockets: requests are bytes that were made before the first arrival, and nothing is built of a reply.
/// As many connections are open as requests were on the wire at once.
/// </summary>
internal sealed class SocketExchange : IExchange
{
    private readonly Uri _address;
    private readonly byte[][] _requests;
    private readonly Lock _lock = new();

    // The one that was used last comes first, as in any client: its buffers are near, and those that a burst has opened rest.
    private readonly Stack<Connection> _kept = new();

    /// <inheritdoc cref="RankExchange.Create"/>
    public SocketExchange(Uri address, ReadOnlyMemory<byte>[] bodies, TimeSpan? deadline)
    {
        _address = address;
        var timeout = deadline is { } time ? string.Create(CultureInfo.InvariantCulture, $"Request-Timeout-Ms: {time.TotalMilliseconds:F0}\r\n") : "";
        _requests = Array.ConvertAll(
            bodies,
            body => (byte[])[
                .. Encoding.ASCII.GetBytes($"POST /v1/rank HTTP/1.1\r\nHost: {address.Authority}\r\nContent-Type: application/json\r\n{timeout}Content-Length: {body.Length}\r\n\r\n"),
                .. body.Span]);
    }

    /// <inheritdoc/>
    public async Task<Outcome> SendAsync(int arrival, CancellationToken giveUp)
    {
        while (true)
        {
            var connection = Take();
            var wasKept = connection.IsOpen;
            try
            {
                var reply = await connection.ExchangeAsync(_requests[arrival % _requests.Length], giveUp);
                var outcome = RankExchange.OutcomeOf(reply.Status, reply.Body);
                Return(connection, reply.Closes);
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

                // A server may close a connection that rests; a ranking changes nothing, so it may be asked for again.
                if (!wasKept || !connection.IsUnanswered)
                {
                    return giveUp.IsCancellationRequested ? Outcome.TimedOut : Outcome.Broken;
                }
            }
        }
    }

    public void Dispose()
    {
        while (_kept.TryPop(out var connection))
        {
            connection.Dispose();
        }
    }

    private Connection Take()
    {
        lock (_lock)
        {
            return _kept.TryPop(out var connection) ? connection : new Connection(_address);
        }
    }

    private void Return(Connection connection, bool closes)
    {
        if (closes)
        {
            connection.Dispose();
            return;
        }

        lock (_lock)
        {
            _kept.Push(connection);
        }
    }

    private sealed class Connection(Uri address) : IDisposable
    {
        private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        private readonly ReplyReader _reply = new();

        public bool IsOpen { get; private set; }

        public bool IsUnanswered => _reply.IsEmpty;

        public async ValueTask<ReplyReader> ExchangeAsync(ReadOnlyMemory<byte> request, CancellationToken giveUp)
        {
            _reply.Clear();
            if (!IsOpen)
            {
                await _socket.ConnectAsync(address.Host, address.Port, giveUp);
                IsOpen = true;
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

        public void Dispose() => _socket.Dispose();
    }
}
