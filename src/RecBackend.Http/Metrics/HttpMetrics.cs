using System.Diagnostics.Metrics;
using RecBackend.Core.Ranking;

namespace RecBackend.Http.Metrics;

/// <summary>What a host counts. Names and units follow OpenTelemetry's conventions; <c>/metrics</c> shows them in Prometheus' form.</summary>
internal sealed class HttpMetrics
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "RecBackend";

    // 10 us to 1 s: a ranking of one candidate to one that nobody waits for any more.
    private static readonly double[] StageBounds = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1];
    private static readonly double[] CandidateBounds = [1, 10, 50, 100, 200, 500, 1000, 2000, 5000];

    private static readonly KeyValuePair<string, object?> UserRead = new("stage", "user_read");
    private static readonly KeyValuePair<string, object?> Gather = new("stage", "gather");
    private static readonly KeyValuePair<string, object?> Run = new("stage", "run");
    private static readonly KeyValuePair<string, object?> Total = new("stage", "total");
    private static readonly KeyValuePair<string, object?> ByModel = new("mode", "model");
    private static readonly KeyValuePair<string, object?> ByFallback = new("mode", "fallback");

    private readonly Counter<long> _requests;
    private readonly Counter<long> _rankings;
    private readonly Histogram<double> _stages;
    private readonly Histogram<int> _candidates;
    private readonly Counter<long> _events;

    public HttpMetrics(IMeterFactory meters)
    {
        var meter = meters.Create(MeterName);
        _requests = meter.CreateCounter<long>("recbackend.requests", "{request}", "Requests by route, method and status.");
        _rankings = meter.CreateCounter<long>("recbackend.rankings", "{ranking}", "Rankings by mode and reason.");
        _stages = meter.CreateHistogram(
            "recbackend.ranking.stage.duration", "s", "Time of a ranking's stages.", advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = StageBounds });
        _candidates = meter.CreateHistogram(
            "recbackend.ranking.candidates", "{candidate}", "Candidates of a ranking.",
            advice: new InstrumentAdvice<int> { HistogramBucketBoundaries = [.. CandidateBounds.Select(bound => (int)bound)] });
        _events = meter.CreateCounter<long>("recbackend.events", "{event}", "Events by what became of them.");
    }

    /// <summary>Counts a request that was answered.</summary>
    public void Answered(string route, string method, int status) =>
        _requests.Add(1, new("route", route), new("method", method), new("status", status));

    /// <summary>Counts a ranking and its stages.</summary>
    public void Ranked(Core.Ranking.Ranking ranking, int candidates)
    {
        if (ranking.Mode == RankingMode.Model)
        {
            _rankings.Add(1, ByModel);
        }
        else
        {
            _rankings.Add(1, ByFallback, new("reason", ReasonName(ranking.Reason)));
        }

        var times = ranking.Times;
        _stages.Record(times.UserRead.TotalSeconds, UserRead);
        _stages.Record(times.Gather.TotalSeconds, Gather);
        _stages.Record(times.Run.TotalSeconds, Run);
        _stages.Record(times.Total.TotalSeconds, Total);
        _candidates.Record(candidates);
    }

    /// <summary>Counts events of one call.</summary>
    public void Told(long accepted, long duplicates, long rejected)
    {
        _events.Add(accepted, new KeyValuePair<string, object?>("outcome", "accepted"));
        _events.Add(duplicates, new KeyValuePair<string, object?>("outcome", "duplicate"));
        _events.Add(rejected, new KeyValuePair<string, object?>("outcome", "rejected"));
    }

    private static string ReasonName(FallbackReason reason) => reason switch
    {
        FallbackReason.NoModel => "no_model",
        FallbackReason.Overloaded => "overloaded",
        FallbackReason.DeadlineExceeded => "deadline_exceeded",
        _ => "none",
    };
}
