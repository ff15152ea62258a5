using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;

namespace RecBackend.Bench.Load;

/// <summary>Rankings over HTTP/2 by .NET's own client, requests side by side on few connections.</summary>
internal sealed class ClientExchange : IExchange
{
    private static readonly MediaTypeHeaderValue Json = new("application/json");

    private readonly HttpMessageInvoker _client;
    private readonly Uri _rank;
    private readonly ReadOnlyMemory<byte>[] _bodies;
    private readonly string? _deadline;

    /// <inheritdoc cref="Exchange.Create"/>
    public ClientExchange(Uri address, ReadOnlyMemory<byte>[] bodies, TimeSpan? deadline)
    {
        _rank = new Uri(address, "/v1/rank");
        _bodies = bodies;
        _deadline = deadline?.TotalMilliseconds.ToString("F0", CultureInfo.InvariantCulture);
        _client = new HttpMessageInvoker(new SocketsHttpHandler
        {
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
                Version = HttpVersion.Version20,
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
            // A connection that is torn down while the caller gives up shows as any of the three.
            return giveUp.IsCancellationRequested ? Outcome.TimedOut : Outcome.Broken;
        }
    }

    public void Dispose() => _client.Dispose();

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
                head = Math.Min(head + count, RankReply.Head);
            }

            return RankReply.OutcomeOf((int)response.StatusCode, buffer.AsSpan(0, head));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
