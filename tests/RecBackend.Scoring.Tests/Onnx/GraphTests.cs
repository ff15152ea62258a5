using RecBackend.Scoring.Bundles;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Tests.Onnx;

/// <summary>The sessions of a graph.</summary>
public sealed class GraphTests : IDisposable
{
    private readonly ScoringRuntime _runtime = TestRuntime.Create();

    public void Dispose() => _runtime.Dispose();

    [Fact]
    public void Callers_at_once_have_a_session_each_and_the_next_ones_have_them_again()
    {
        using var graph = Load(callers: 3);
        Assert.Equal(3, graph.Sessions);

        var runs = Enumerable.Range(0, 3).Select(_ => graph.Rent(batch: 1, candidates: 4)).ToArray();
        Assert.Equal(3, runs.Select(run => run.Session).Distinct().Count());

        Array.ForEach(runs, graph.Return);
        Assert.Contains(graph.Rent(batch: 1, candidates: 4), runs);
    }

    [Fact]
    public void Thread_gets_the_session_of_its_last_run()
    {
        using var graph = Load(callers: 2);
        var (first, second) = (graph.Rent(batch: 1), graph.Rent(batch: 1));
        graph.Return(first);
        graph.Return(second);
        for (var i = 0; i < 3; i++)
        {
            var run = graph.Rent(batch: 1);
            Assert.Same(second.Session, run.Session);
            graph.Return(run);
        }
    }

    private Graph Load(int callers) =>
        Graph.Load(Golden.Path("tiny-bundle"), GraphContract.Ranker(BundleLoader.ReadManifest(Golden.Path("tiny-bundle"))), _runtime, callers);
}
