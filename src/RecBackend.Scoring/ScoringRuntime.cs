using Microsoft.Extensions.Logging;
using RecBackend.Core.Ranking;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring;

/// <summary>
/// What all models of a process share: the execution provider, and the gates that bound how much runs at once, whichever bundles are loaded. One for each process.
/// </summary>
public sealed class ScoringRuntime : IDisposable
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(1);

    /// <summary>Starts the provider.</summary>
    /// <param name="options">Checked here.</param>
    /// <param name="clock">Clock of deadlines and measurements.</param>
    /// <param name="logger">Is told the provider in use.</param>
    /// <exception cref="ArgumentException">An option is not possible; the message names it.</exception>
    /// <exception cref="InvalidOperationException">The provider that was asked for does not work here; the message says what is missing.</exception>
    public ScoringRuntime(ScoringOptions options, TimeProvider clock, ILogger<ScoringRuntime> logger)
    {
        options.Validate();
        Options = options;
        Clock = clock;
        Provider = new ExecutionProvider(options);
        RankGate = new AdmissionGate("rank", options.EffectiveConcurrency, options.QueueLength, clock, Metrics);

        // Its waiters are item writes, of which the host admits a bounded number; bulk work waits its turn rather than fail.
        EncodeGate = new AdmissionGate("encode", options.EffectiveEncodingConcurrency, int.MaxValue, clock, Metrics);
        DecodeGate = new AdmissionGate("decode", options.EffectiveEncodingConcurrency, int.MaxValue, clock, Metrics);
        Metrics.Observe(RankGate, EncodeGate, DecodeGate);
        logger.LogInformation(
            "Scoring with {Provider}; {Concurrency} at once, {Queue} may wait.", Provider.Description, options.EffectiveConcurrency, options.QueueLength);
    }

    /// <summary>Name and version of what runs the graphs.</summary>
    public string ProviderDescription => Provider.Description;

    /// <summary>Where the host counts rankings that have not come to the scorer yet.</summary>
    public RankingDemand Demand { get; } = new();

    internal ScoringOptions Options { get; }

    internal TimeProvider Clock { get; }

    internal ExecutionProvider Provider { get; }

    internal ScoringMetrics Metrics { get; } = new();

    /// <summary>Rankings and user encodings.</summary>
    internal AdmissionGate RankGate { get; }

    /// <summary>Batches of item contents: a gate of their own, so that bulk work never fills the queue of the rankings.</summary>
    internal AdmissionGate EncodeGate { get; }

    /// <summary>Pictures that are decoded: apart from the runs, so that an item of words alone does not wait for other items' pictures.</summary>
    internal AdmissionGate DecodeGate { get; }

    /// <summary>Waits until no ranking waits, neither for a thread nor for the model, but not for ever.</summary>
    /// <param name="atMost">How long at most.</param>
    /// <param name="cancellation">Gives up.</param>
    internal async ValueTask QuietAsync(TimeSpan atMost, CancellationToken cancellation)
    {
        var begun = Clock.GetTimestamp();
        await RankGate.QuietAsync(atMost, cancellation);
        while (Demand.Waiting > 0 && Clock.GetElapsedTime(begun) < atMost)
        {
            await Task.Delay(Look, Clock, cancellation);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Metrics.Dispose();
}
