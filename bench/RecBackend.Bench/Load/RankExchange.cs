using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;

namespace RecBackend.Bench.Load;

/// <summary>Rankings over HTTP by .NET's own client: HTTP/1.1 with kept connections, or HTTP/2 with requests side by side on few of them.</summary>
internal sealed class RankExchange : IExchange, IDisposable
{
    // Request ID and model version stand before the mode and its reason, 128 bytes of UTF-8 each at most, escaped at worst.
    private const int HeadOfReply = 2_048;

    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly HttpMessageInvoker _client;
    private readonly Uri _rank;
    private readonly Version _version;
    private readonly ReadOnlyMemory<byte>[] _bodies;
    private readonly string? _deadline;

    /// <param name="address">Base URL. HTTP/2 is spoken without an upgrade, so it must be an endpoint for HTTP/2 alone.</param>
    /// <param name="version">1.1 or 2.0.</param>
    /// <param name="bodies">The requests; arrivals take them in turn.</param>
    /// <param name="connections">Bound of the HTTP/1.1 connections.</param>
    /// <param name="deadline">Sent as <c>Request-Timeout-Ms</c>; null leaves it to the server.</param>
    public RankExchange(Uri address, Version version, ReadOnlyMemory<byte>[] bodies, int connections, TimeSpan? deadline)
    {
        _rank = new Uri(address, "/v1/rank");
        _version = version;
        _bodies = bodies;
        _deadline = deadline?.TotalMilliseconds.ToString("F0", CultureInfo.InvariantCulture);
        _client = new HttpMessageInvoker(new SocketsHttpHandler
        {
            MaxConnectionsPerServer = version == HttpVersion.Version11 ? connections : int.MaxValue,
            EnableMultipleHttp2Connections = true,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            PooledConnectionLifetime = Timeout.InfiniteTimeSpan,
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = false,
            ActivityHeadersPropagator = null,
        });
    }

    /// <inheritdoc/>
    public async Task<Outcome> SendAsync(int arrival, CancellationToken giveUp)
    {
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, _rank)
            {
                Version = _version,
                VersionPolicy = HttpVersionPolicy.RequestVersionExact,
                Content = new ReadOnlyMemoryContent(_bodies[arrival % _bodies.Length]) { Headers = { ContentType = Json } },
            };
            if (_deadline is not null)
            {
                request.Headers.TryAddWithoutValidation("Request-Timeout-Ms", _deadline);
            }

            using var response = await _client.SendAsync(request, giveUp);
            return await ReadAsync(response, giveUp);
        }
        catch (OperationCanceledException) when (giveUp.IsCancellationRequested)
        {
            return Outcome.TimedOut;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
        {
            // A connection that is torn down while the caller gives up shows as either of the two.
            return giveUp.IsCancellationRequested ? Outcome.TimedOut : Outcome.Broken;
        }
    }

    public void Dispose() => _client.Dispose();

    /// <summary>What a reply with status 200 is, by its beginning.</summary>
    internal static Outcome OfReply(ReadOnlySpan<byte> head)
    {
        if (head.IndexOf("\"mode\":\"model\""u8) >= 0)
        {
            return Outcome.Model;
        }

        if (head.IndexOf("\"mode\":\"fallback\""u8) < 0)
        {
            return Outcome.Unexpected;
        }

        return head.IndexOf("\"reason\":\"overloaded\""u8) >= 0 ? Outcome.FallbackOverloaded
            : head.IndexOf("\"reason\":\"deadline_exceeded\""u8) >= 0 ? Outcome.FallbackDeadline
            : Outcome.FallbackOther;
    }

    // An answer counts as such once its last byte is read; only its beginning is kept.
    private static async Task<Outcome> ReadAsync(HttpResponseMessage response, CancellationToken giveUp)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(32 * 1024);
        try
        {
            await using var body = await response.Content.ReadAsStreamAsync(giveUp);
            var head = 0;
            while (await body.ReadAsync(buffer.AsMemory(head), giveUp) is var count and > 0)
            {
                head = Math.Min(head + count, HeadOfReply);
            }

            return response.StatusCode switch
            {
                HttpStatusCode.OK => OfReply(buffer.AsSpan(0, head)),
                HttpStatusCode.TooManyRequests => Outcome.TooManyRequests,
                HttpStatusCode.ServiceUnavailable => Outcome.Unavailable,
                _ => Outcome.Unexpected,
            };
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
