using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Tests;

/// <summary>How bulk work gives way to rankings.</summary>
public sealed class YieldTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly ScoringRuntime _runtime = TestRuntime.Create();

    public void Dispose() => _runtime.Dispose();

    [Fact]
    public async Task Work_begins_when_no_ranking_waits_for_a_thread_any_more()
    {
        _runtime.Demand.Add(2);
        var quiet = _runtime.QuietAsync(TimeSpan.FromMinutes(10), CancellationToken.None).AsTask();
        Assert.False(quiet.IsCompleted);

        _runtime.Demand.Add(-2);
        await quiet.WaitAsync(Patience);
    }

    [Fact]
    public async Task Work_begins_at_last_though_rankings_wait_all_the_time()
    {
        _runtime.Demand.Add(1);
        var quiet = _runtime.QuietAsync(OnnxModel.LongestYield, CancellationToken.None).AsTask();
        Assert.False(quiet.IsCompleted);
        await quiet.WaitAsync(Patience);
    }

    [Fact]
    public void Work_begins_at_once_where_nothing_waits() =>
        Assert.True(_runtime.QuietAsync(TimeSpan.FromMinutes(10), CancellationToken.None).AsTask().IsCompletedSuccessfully);
}
