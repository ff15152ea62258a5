using System.Diagnostics.Metrics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.ObjectPool;
using RecBackend.Core;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Ranking;

/// <summary><c>POST /v1/rank</c>.</summary>
internal sealed class RankEndpoint
{
    /// <summary>Milliseconds that the caller waits for the model.</summary>
    public const string TimeoutHeader = "Request-Timeout-Ms";

    private const string RequestIdHeader = "X-Request-Id";

    // The same for all: under overload, most of what a host writes.
    private static readonly Problem NotKeptUpWith = new(ProblemCode.Overloaded, "As many rankings are at work as the host keeps up with (RecBackend:Limits:RankLatencyTolerance).");

    private readonly IRanker _ranker;
    private readonly ModelDirectory _models;
    private readonly HttpLimits _limits;
    private readonly TimeProvider _clock;
    private readonly RankLimit _limit;
    private readonly RankLanes _lanes;
    private readonly ObjectPool<RankExchange> _exchanges;
    private int _calls;

    public RankEndpoint(IRanker ranker, ModelDirectory models, HttpLimits limits, RecBackendHttpOptions options, RankLanes lanes, RankingDemand demand, IMeterFactory meters, TimeProvider clock)
    {
        (_ranker, _models, _limits, _clock) = (ranker, models, limits, clock);
        _limit = new RankLimit(options.ConcurrentRuns, limits.ConcurrentRankings, limits.RankLatencyTolerance);
        _lanes = lanes;
        var meter = meters.Create(Telemetry.Name);
        _limit.Observe(meter);
        meter.CreateObservableGauge("recbackend.rankings.waiting", () => demand.Waiting, "{ranking}", "Rankings that wait for their turn.");

        // As many as there can be at once: a pool of the default size, two for each processor, lets most of them go while rankings wait for the scorer.
        _exchanges = new DefaultObjectPool<RankExchange>(new ExchangePolicy(), limits.ConcurrentRankings);
    }

    public async Task RankAsync(HttpContext context)
    {
        // Those whose body is still on its way included: slow callers hold memory, though no place among the rankings at work.
        if (!TryEnter())
        {
            await Admission.RefuseAsync(context, Admission.TooMany);
            return;
        }

        try
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
        finally
        {
            Interlocked.Decrement(ref _calls);
        }
    }

    /// <summary>Counts a call, unless there are as many as there may be. Never above that, not even for a moment: another call would be refused for the sake of one that is refused too.</summary>
    private bool TryEnter()
    {
        var calls = Volatile.Read(ref _calls);
        while (calls < _limits.ConcurrentRankings)
        {
            var seen = Interlocked.CompareExchange(ref _calls, calls + 1, calls);
            if (seen == calls)
            {
                return true;
            }

            calls = seen;
        }

        return false;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask RankAsync(HttpContext context, RankExchange exchange)
    {
        var deadline = ReadDeadline(context.Request.Headers);

        // A place among the rankings at work is taken with the body at hand: who sends slowly holds none of them.
        var body = await exchange.ReadBodyAsync(context.Request.BodyReader, _limits.RankBody, context.RequestAborted);
        if (!_limit.TryEnter(out var inFlight))
        {
            await Admission.RefuseAsync(context, NotKeptUpWith);
            return;
        }

        try
        {
            await RankAsync(body, deadline, inFlight, exchange, context);
        }
        finally
        {
            _limit.Leave();
        }

        var response = context.Response;
        response.ContentType = "application/json";
        response.ContentLength = exchange.Reply.Written.Length;
        await response.BodyWriter.WriteAsync(exchange.Reply.WrittenMemory, context.RequestAborted);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask RankAsync(ReadOnlyMemory<byte> body, Deadline deadline, int inFlight, RankExchange exchange, HttpContext context)
    {
        var came = _clock.GetTimestamp();
        if (deadline.Left(_clock) is var left && left != Timeout.InfiniteTimeSpan && left <= _lanes.ExpectedWait)
        {
            // The model will not answer it in time, so the fallback does, and now; not on a thread that others' requests come by.
            deadline = new Deadline(came);
            await Task.Yield();
        }
        else
        {
            await _lanes.TakeTurn(deadline, context.RequestAborted);
            context.RequestAborted.ThrowIfCancellationRequested();
        }

        var started = _clock.GetTimestamp();
        RankBodyReader.Read(body.Span, exchange, _limits);
        exchange.Request.Deadline = deadline;
        exchange.Request.Waited = _clock.GetElapsedTime(came, started);
        EnsureRequestId(exchange, context.Request.Headers);

        using var ranking = await _ranker.RankAsync(exchange.Request, context.RequestAborted);
        if (ranking is { Mode: RankingMode.Model, Items.IsEmpty: false })
        {
            // Without the user: a slow store is no reason to rank less, and who waits for the user's encoder waits in the same queue again for the ranker.
            var times = ranking.Times;
            var latency = _clock.GetElapsedTime(came) - times.UserRead;
            _limit.Learn(latency, latency - times.Wait - times.SessionWait, inFlight);
        }

        RankReplyWriter.Write(exchange, ranking, exchange.Explain ? LayoutOf(ranking.Model) : null, _clock.GetElapsedTime(came));
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
            RequestIds.Write(exchange.RequestId.Take(RequestIds.Length), _clock.GetUtcNow());
        }
    }

    private Deadline ReadDeadline(IHeaderDictionary headers)
    {
        var header = headers[TimeoutHeader];
        if (header.Count == 0)
        {
            return Deadline.After(TimeSpan.FromMilliseconds(_limits.RankTimeoutMs), _clock);
        }

        if (!int.TryParse(header.ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds) || milliseconds > _limits.RankTimeoutMaxMs)
        {
            throw new ProblemException(ProblemCode.ParameterInvalid, $"It is a number of milliseconds, at most {_limits.RankTimeoutMaxMs}.", TimeoutHeader);
        }

        return Deadline.After(TimeSpan.FromMilliseconds(milliseconds), _clock);
    }

    private ModelLayout? LayoutOf(string? version)
    {
        if (version is null)
        {
            return null;
        }

        try
        {
            using var lease = _models.Lease(version);
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
