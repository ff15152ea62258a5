using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.ObjectPool;
using RecBackend.Core;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Ranking;

/// <summary><c>POST /v1/rank</c>.</summary>
internal sealed class RankEndpoint(IRanker ranker, ModelDirectory models, HttpLimits limits, TimeProvider clock)
{
    /// <summary>Milliseconds that the caller waits for the model.</summary>
    public const string TimeoutHeader = "Request-Timeout-Ms";

    private const string RequestIdHeader = "X-Request-Id";

    // As many as there can be at once: a pool of the default size, two for each processor, lets most of them go while rankings wait for the scorer.
    private readonly ObjectPool<RankExchange> _exchanges = new DefaultObjectPool<RankExchange>(new ExchangePolicy(), limits.ConcurrentRankings);

    public async Task RankAsync(HttpContext context)
    {
        var exchange = _exchanges.Get();
        try
        {
            await RankAsync(context, exchange);
        }
        finally
        {
            _exchanges.Return(exchange);
        }
    }

    private async Task RankAsync(HttpContext context, RankExchange exchange)
    {
        var deadline = ReadDeadline(context.Request.Headers);
        var body = await exchange.ReadBodyAsync(context.Request.BodyReader, limits.RankBody, context.RequestAborted);
        var started = clock.GetTimestamp();
        RankBodyReader.Read(body.Span, exchange, limits);
        exchange.Request.Deadline = deadline;
        EnsureRequestId(exchange, context.Request.Headers);

        using (var ranking = await ranker.RankAsync(exchange.Request, context.RequestAborted))
        {
            RankReplyWriter.Write(exchange, ranking, exchange.Explain ? LayoutOf(ranking.Model) : null, clock.GetElapsedTime(started));
        }

        var response = context.Response;
        response.ContentType = "application/json";
        response.ContentLength = exchange.Reply.Written.Length;
        await response.BodyWriter.WriteAsync(exchange.Reply.WrittenMemory, context.RequestAborted);
    }

    /// <summary>Of the body, else of the gateway, so that its log, the reply and the events that follow speak of one thing; else a new one.</summary>
    private void EnsureRequestId(RankExchange exchange, IHeaderDictionary headers)
    {
        if (!exchange.RequestId.Written.IsEmpty)
        {
            return;
        }

        if (headers[RequestIdHeader] is [{ } given] && EntityId.IsValid(given))
        {
            Encoding.UTF8.GetBytes(given, exchange.RequestId.Take(Encoding.UTF8.GetByteCount(given)));
        }
        else
        {
            RequestIds.Write(exchange.RequestId.Take(RequestIds.Length), clock.GetUtcNow());
        }
    }

    private Deadline ReadDeadline(IHeaderDictionary headers)
    {
        var header = headers[TimeoutHeader];
        if (header.Count == 0)
        {
            return Deadline.After(TimeSpan.FromMilliseconds(limits.RankTimeoutMs), clock);
        }

        if (!int.TryParse(header.ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds) || milliseconds > limits.RankTimeoutMaxMs)
        {
            throw new ProblemException(ProblemCode.ParameterInvalid, $"It is a number of milliseconds, at most {limits.RankTimeoutMaxMs}.", TimeoutHeader);
        }

        return Deadline.After(TimeSpan.FromMilliseconds(milliseconds), clock);
    }

    private ModelLayout? LayoutOf(string? version)
    {
        if (version is null)
        {
            return null;
        }

        try
        {
            using var lease = models.Lease(version);
            return lease.Serving?.Layout;
        }
        catch (BundleRefusedException)
        {
            // Two activations since the ranking began have let the bundle go; its feature names went with it.
            return null;
        }
    }

    private sealed class ExchangePolicy : IPooledObjectPolicy<RankExchange>
    {
        public RankExchange Create() => new();

        public bool Return(RankExchange exchange)
        {
            exchange.Clear();
            return exchange.IsReusable;
        }
    }
}
