using System.Diagnostics.Metrics;
using RecBackend.Core.Models;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Tests.Onnx;

public sealed class DividedScoringTests : IDisposable
{
    private readonly TemporaryFolder _state = new();

    public void Dispose() => _state.Dispose();

    public static TheoryData<string, int> Counts => Golden.EachBundleWith(20, 39, 333);

    [Theory]
    [MemberData(nameof(Counts))]
    public async Task Scores_in_parts_are_those_of_one_run(string bundle, int count)
    {
        using var whole = Runtime(partCandidates: 0);
        using var divided = Runtime(partCandidates: 10);
        await using var expected = await TestRuntime.LoadAsync(whole, Golden.Path(bundle), Path.Combine(_state.Path, "whole"));
        await using var model = await TestRuntime.LoadAsync(divided, Golden.Path(bundle), Path.Combine(_state.Path, "divided"));
        using var runs = new RunCount(divided);
        var (user, rows, context) = await InputsAsync(expected, bundle, count);

        var scores = await ModelFixture.ScoreAsync(model, user, rows, count, context);

        // Of four places one is its own, and half of the others are for it.
        Assert.Equal(Math.Min(3, count / 10), runs.OfRanker);
        var alone = await ModelFixture.ScoreAsync(expected, user, rows, count, context);
        Assert.All(alone.Zip(scores), score => Assert.Equal(score.First, score.Second, 1e-6f));
        Assert.InRange(scores.Distinct().Count(), (count + 1) / 2, count);
        Assert.Equal(4, divided.RankGate.Free);
    }

    [Theory]
    [InlineData(19, 3, 1)]
    [InlineData(20, 3, 2)]
    [InlineData(333, 1, 2)]
    [InlineData(333, 0, 1)]
    public async Task Ranking_is_divided_where_it_is_long_enough_and_others_leave_places(int count, int othersLeave, int parts)
    {
        using var runtime = Runtime(partCandidates: 10);
        await using var model = await TestRuntime.LoadAsync(runtime, Golden.Path(Golden.TinyBundle), _state.Path);
        var (user, rows, context) = await InputsAsync(model, Golden.TinyBundle, count);
        var others = 3 - othersLeave;
        for (var other = 0; other < others; other++)
        {
            await runtime.RankGate.EnterAsync(Deadline.None, default);
        }

        using var runs = new RunCount(runtime);
        await ModelFixture.ScoreAsync(model, user, rows, count, context);

        Assert.Equal(parts, runs.OfRanker);
        Assert.Equal(4 - others, runtime.RankGate.Free);
    }

    [Fact]
    public async Task Many_at_once_get_their_own_scores_and_leave_every_place()
    {
        using var runtime = Runtime(partCandidates: 10);
        await using var model = await TestRuntime.LoadAsync(runtime, Golden.Path(Golden.TinyBundle), _state.Path);
        var inputs = new List<(UserEncoding User, float[] Rows, int Count, float[] Context, float[] Scores)>();
        for (var i = 0; i < 20; i++)
        {
            var (user, rows, context) = await InputsAsync(model, Golden.TinyBundle, 15 + (i * 11), i % 8);
            inputs.Add((user, rows, 15 + (i * 11), context, await ModelFixture.ScoreAsync(model, user, rows, 15 + (i * 11), context)));
        }

        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => Task.Run(async () =>
        {
            var (user, rows, count, context, expected) = inputs[i % inputs.Count];
            var scores = await ModelFixture.ScoreAsync(model, user, rows, count, context);
            Assert.All(expected.Zip(scores), score => Assert.Equal(score.First, score.Second, 1e-6f));
        })));

        Assert.Equal((4, 0), (runtime.RankGate.Free, runtime.RankGate.Waiting));
    }

    [Fact]
    public async Task Failure_of_a_part_is_told_when_all_parts_are_done()
    {
        using var runtime = Runtime(partCandidates: 10);
        await using var model = await TestRuntime.LoadAsync(runtime, Golden.Path(Golden.TinyBundle), _state.Path);
        var (user, rows, context) = await InputsAsync(model, Golden.TinyBundle, 30);
        var scores = ModelFixture.Pinned(30, _ => -1);

        // The second part lacks its last row, which ONNX Runtime notices.
        var scoring = new DividedScoring((OnnxModel)model, user, rows[..(20 * model.Layout.Row - 1)], 30, context, scores, parts: 3).RunAsync();

        await Assert.ThrowsAnyAsync<Exception>(() => scoring);
        Assert.DoesNotContain(-1, scores[..10]);
    }

    private static ScoringRuntime Runtime(int partCandidates) => TestRuntime.Create(new ScoringOptions { MaxConcurrency = 4, QueueLength = 1_000, PartCandidates = partCandidates });

    private static async Task<(UserEncoding User, float[] Rows, float[] Context)> InputsAsync(IModel model, string bundle, int count, int user = 0)
    {
        var random = new Random(count);
        var encoding = await model.EncodeUserAsync(ModelFixture.GoldenUser(model.Layout, user, bundle).Features, 1, default);
        return (
            encoding,
            ModelFixture.Pinned(count * model.Layout.Row, _ => random.NextSingle() - 0.5f),
            ModelFixture.Pinned(model.Layout.Context.Count, _ => random.NextSingle()));
    }

    /// <summary>Counts the runs of a runtime's rankers from now on.</summary>
    private sealed class RunCount : IDisposable
    {
        private readonly MeterListener _listener = new();
        private int _ofRanker;

        public RunCount(ScoringRuntime runtime)
        {
            _listener.InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter == runtime.Metrics.Meter && instrument.Name == "recbackend.scorer.run.duration")
                {
                    self.EnableMeasurementEvents(instrument);
                }
            };
            _listener.SetMeasurementEventCallback<double>((_, _, tags, _) =>
            {
                if (tags[0].Value is "ranker")
                {
                    Interlocked.Increment(ref _ofRanker);
                }
            });
            _listener.Start();
        }

        public int OfRanker => Volatile.Read(ref _ofRanker);

        public void Dispose() => _listener.Dispose();
    }
}
