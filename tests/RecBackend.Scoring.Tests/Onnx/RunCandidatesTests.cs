using System.Diagnostics.Metrics;

namespace RecBackend.Scoring.Tests.Onnx;

public sealed class RunCandidatesTests : IDisposable
{
    private readonly TemporaryFolder _state = new();

    public void Dispose() => _state.Dispose();

    public static TheoryData<string, int> Counts => Golden.EachBundleWith(1, 20, 21, 333);

    [Theory]
    [MemberData(nameof(Counts))]
    public async Task Scores_of_several_runs_are_those_of_one(string bundle, int count)
    {
        const int Most = 20;
        using var whole = TestRuntime.Create(new ScoringOptions { RunCandidates = 0 });
        using var bounded = TestRuntime.Create(new ScoringOptions { RunCandidates = Most });
        await using var expected = await TestRuntime.LoadAsync(whole, Golden.Path(bundle), Path.Combine(_state.Path, "whole"));
        await using var model = await TestRuntime.LoadAsync(bounded, Golden.Path(bundle), Path.Combine(_state.Path, "bounded"));
        var random = new Random(count);
        var layout = model.Layout;
        var rows = ModelFixture.Pinned(count * layout.Row, _ => random.NextSingle() - 0.5f);
        var context = ModelFixture.Pinned(layout.Context.Count, _ => random.NextSingle());
        var user = await expected.EncodeUserAsync(ModelFixture.GoldenUser(layout, 0, bundle).Features, 1, default);
        var alone = await ModelFixture.ScoreAsync(expected, user, rows, count, context);
        var runs = 0;
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter == bounded.Metrics.Meter && instrument.Name == "recbackend.scorer.run.duration")
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<double>((_, _, _, _) => runs++);
        listener.Start();

        var scores = await ModelFixture.ScoreAsync(model, user, rows, count, context);

        Assert.Equal((count + Most - 1) / Most, runs);
        Assert.All(alone.Zip(scores), score => Assert.Equal(score.First, score.Second, 1e-6f));
        Assert.InRange(scores.Distinct().Count(), (count + 1) / 2, count);
    }
}
