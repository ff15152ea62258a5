using System.Diagnostics;
using System.Diagnostics.Metrics;
using RecBackend.Core.Ranking;

namespace RecBackend.Core;

/// <summary>Metrics and traces of Core, under the name <c>RecBackend</c>. Costs next to nothing while nobody listens.</summary>
public static class Telemetry
{
    /// <summary>Name of the meter and of the activity source.</summary>
    public const string Name = "RecBackend";

    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> Rankings = Meter.CreateCounter<long>("recbackend.rankings", "{ranking}", "Rankings by mode and reason.");
    private static readonly Counter<long> Candidates = Meter.CreateCounter<long>("recbackend.candidates", "{candidate}", "Candidates by whether the catalogue has them.");
    private static readonly Histogram<double> Stages = Meter.CreateHistogram(
        "recbackend.ranking.stage.duration",
        "s",
        "How long the stages of a ranking take.",
        advice: new InstrumentAdvice<double>
        {
            HistogramBucketBoundaries = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
        });

    private static readonly Counter<long> UserEncodings = Meter.CreateCounter<long>("recbackend.user_encodings", "{encoding}", "User encodings by whether the cached one could be used.");
    private static readonly Counter<long> EncodingFailures = Meter.CreateCounter<long>("recbackend.encoding.failures", "{item}", "Items that could not be encoded in the background.");

    /// <summary>Traces.</summary>
    public static ActivitySource Source { get; } = new(Name);

    internal static void Ranked(PooledRanking ranking, Activity? activity)
    {
        var known = ranking.Candidates.Count;
        if (activity is not null)
        {
            activity.SetTag("recbackend.mode", NameOf(ranking.Mode));
            activity.SetTag("recbackend.reason", NameOf(ranking.Reason));
            activity.SetTag("recbackend.model", ranking.Model);
            activity.SetTag("recbackend.candidates", known);
        }

        Rankings.Add(1, new("mode", NameOf(ranking.Mode)), new("reason", NameOf(ranking.Reason)));
        Candidates.Add(known, new KeyValuePair<string, object?>("known", "yes"));
        Candidates.Add(ranking.Unknown.Length, new KeyValuePair<string, object?>("known", "no"));
        if (Stages.Enabled)
        {
            var times = ranking.Times;
            Stages.Record(times.Wait.TotalSeconds, new KeyValuePair<string, object?>("stage", "wait"));
            Stages.Record(times.UserRead.TotalSeconds, new KeyValuePair<string, object?>("stage", "user_read"));
            Stages.Record(times.Gather.TotalSeconds, new KeyValuePair<string, object?>("stage", "gather"));
            Stages.Record(times.Run.TotalSeconds, new KeyValuePair<string, object?>("stage", "run"));
            Stages.Record(times.Total.TotalSeconds, new KeyValuePair<string, object?>("stage", "total"));
        }
    }

    internal static void UserEncoded(bool cached) => UserEncodings.Add(1, new KeyValuePair<string, object?>("cached", cached ? "yes" : "no"));

    internal static void EncodingFailed(Exception error, int items) => EncodingFailures.Add(items, new KeyValuePair<string, object?>("error", error.GetType().Name));

    private static string NameOf(RankingMode mode) => mode == RankingMode.Model ? "model" : "fallback";

    private static string NameOf(FallbackReason reason) => reason switch
    {
        FallbackReason.None => "none",
        FallbackReason.NoModel => "no_model",
        FallbackReason.Overloaded => "overloaded",
        FallbackReason.UserUnavailable => "user_unavailable",
        _ => "deadline_exceeded",
    };
}
