using System.Diagnostics.Metrics;
using RecBackend.Core;
using RecBackend.Core.Models;

namespace RecBackend.Scoring.Onnx;

/// <summary>What the scorer tells of itself, on the meter <c>RecBackend</c>. The tag <c>gate</c> is <c>rank</c> or <c>encode</c>.</summary>
internal sealed class ScoringMetrics : IDisposable
{
    private const string GateTag = "gate";

    private readonly UpDownCounter<int> _queue;
    private readonly UpDownCounter<int> _running;
    private readonly Counter<long> _rejected;
    private readonly Histogram<double> _duration;

    public ScoringMetrics()
    {
        Meter = new Meter(Telemetry.Name);
        _queue = Meter.CreateUpDownCounter<int>("recbackend.scorer.queue", description: "Runs that wait for a place.");
        _running = Meter.CreateUpDownCounter<int>("recbackend.scorer.running", description: "Runs that go on.");
        _rejected = Meter.CreateCounter<long>("recbackend.scorer.rejected", description: "Runs refused before they began, by reason.");
        _duration = Meter.CreateHistogram(
            "recbackend.scorer.run.duration",
            unit: "s",
            description: "Time of one run of a graph, by graph.",
            advice: new InstrumentAdvice<double>
            {
                HistogramBucketBoundaries = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
            });
    }

    /// <summary>Their meter; a listener may tell by it one runtime from another.</summary>
    public Meter Meter { get; }

    public void Queued(string gate) => _queue.Add(1, new KeyValuePair<string, object?>(GateTag, gate));

    public void Dequeued(string gate) => _queue.Add(-1, new KeyValuePair<string, object?>(GateTag, gate));

    public void Admitted(string gate) => _running.Add(1, new KeyValuePair<string, object?>(GateTag, gate));

    public void Left(string gate) => _running.Add(-1, new KeyValuePair<string, object?>(GateTag, gate));

    public void Rejected(string gate, ScoringRejection reason) => _rejected.Add(
        1,
        new KeyValuePair<string, object?>(GateTag, gate),
        new KeyValuePair<string, object?>("reason", reason == ScoringRejection.Overloaded ? "overloaded" : "deadline_exceeded"));

    public void Ran(string graph, TimeSpan duration) => _duration.Record(duration.TotalSeconds, new KeyValuePair<string, object?>("graph", graph));

    public void Dispose() => Meter.Dispose();
}
