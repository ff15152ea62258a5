using System.Diagnostics.Metrics;
using RecBackend.Core;
using RecBackend.Core.Models;

namespace RecBackend.Scoring.Onnx;

/// <summary>What the scorer tells of itself, on the meter <c>RecBackend</c>. The tag <c>gate</c> is <c>rank</c>, <c>encode</c> or <c>decode</c>.</summary>
internal sealed class ScoringMetrics : IDisposable
{
    private const string GateTag = "gate";

    private readonly Counter<long> _rejected;
    private readonly Histogram<double> _duration;
    private readonly Histogram<int> _batch;
    private readonly UpDownCounter<int> _batchQueue;

    public ScoringMetrics()
    {
        Meter = new Meter(Telemetry.Name);
        _rejected = Meter.CreateCounter<long>("recbackend.scorer.rejected", "{run}", "Runs refused before they began, by reason.");
        _duration = Meter.CreateHistogram(
            "recbackend.scorer.run.duration",
            "s",
            "Time of one run of a graph, by graph.",
            advice: new InstrumentAdvice<double>
            {
                HistogramBucketBoundaries = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
            });
        _batchQueue = Meter.CreateUpDownCounter<int>("recbackend.scorer.batch.queue", "{ranking}", "Rankings that wait to be joined.");
        _batch = Meter.CreateHistogram(
            "recbackend.scorer.batch.size", "{ranking}", "Rankings that ran as one.", advice: new InstrumentAdvice<int> { HistogramBucketBoundaries = [1, 2, 4, 8, 16, 32, 64] });
    }

    /// <summary>Their meter; a listener may tell by it one runtime from another.</summary>
    public Meter Meter { get; }

    /// <summary>Reports the gates whenever somebody collects: counting them as they move would cost every run something.</summary>
    public void Observe(params AdmissionGate[] gates)
    {
        Meter.CreateObservableUpDownCounter("recbackend.scorer.queue", () => gates.Select(gate => Of(gate, gate.Waiting)), "{run}", "Runs that wait for a place.");
        Meter.CreateObservableUpDownCounter("recbackend.scorer.running", () => gates.Select(gate => Of(gate, gate.Running)), "{run}", "Runs that go on.");
    }

    public void Rejected(string gate, ScoringRejection reason) => _rejected.Add(
        1,
        new KeyValuePair<string, object?>(GateTag, gate),
        new KeyValuePair<string, object?>("reason", reason == ScoringRejection.Overloaded ? "overloaded" : "deadline_exceeded"));

    public void Ran(string graph, TimeSpan duration) => _duration.Record(duration.TotalSeconds, new KeyValuePair<string, object?>("graph", graph));

    public void Batched(int rankings) => _batch.Record(rankings);

    public void BatchQueued(int change) => _batchQueue.Add(change);

    public void Dispose() => Meter.Dispose();

    private static Measurement<int> Of(AdmissionGate gate, int value) => new(value, new KeyValuePair<string, object?>(GateTag, gate.Name));
}
