using System.Threading.Channels;
using RecBackend.Core.Models;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Tests.Onnx;

/// <summary>A device that runs what a test lets it run, and a clock that a test moves.</summary>
public sealed class RankBatcherTests : IDisposable
{
    private static readonly TimeSpan Delay = TimeSpan.FromMilliseconds(2);

    private readonly FakeClock _clock = new();
    private readonly ScoringMetrics _metrics = new();
    private readonly FakeDevice _device = new();

    public void Dispose() => _metrics.Dispose();

    [Fact]
    public async Task Idle_device_waits_for_nobody()
    {
        var batcher = Batcher();
        var ranking = Ranking();
        var scoring = batcher.ScoreAsync(ranking, default).AsTask();

        var batch = await _device.NextAsync();
        Assert.Equal([ranking], batch.Rankings);
        Assert.False(scoring.IsCompleted);
        batch.End();
        await scoring;
        Assert.Equal(1f, ranking.Scores[0]);
    }

    [Fact]
    public async Task What_comes_while_the_device_is_busy_runs_as_one_when_it_is_free()
    {
        var batcher = Batcher();
        var first = batcher.ScoreAsync(Ranking(), default).AsTask();
        var running = await _device.NextAsync();
        var rankings = Enumerable.Range(0, 3).Select(_ => Ranking()).ToList();
        var scoring = rankings.Select(ranking => batcher.ScoreAsync(ranking, default).AsTask()).ToList();
        _clock.Advance(10 * Delay);
        Assert.Equal(3, batcher.Waiting);

        running.End();
        await first;
        var batch = await _device.NextAsync();
        Assert.Equal(rankings, batch.Rankings);
        batch.End();
        await Task.WhenAll(scoring);
    }

    [Fact]
    public async Task Beside_a_running_batch_another_starts_when_it_is_full_or_has_waited_long_enough()
    {
        var batcher = Batcher(inFlight: 2);
        var all = new List<Task> { batcher.ScoreAsync(Ranking(), default).AsTask() };
        var first = await _device.NextAsync();
        all.AddRange(Enumerable.Range(0, 4).Select(_ => batcher.ScoreAsync(Ranking(), default).AsTask()));
        var full = await _device.NextAsync();
        Assert.Equal(4, full.Rankings.Count);
        full.End();

        all.AddRange(Enumerable.Range(0, 2).Select(_ => batcher.ScoreAsync(Ranking(), default).AsTask()));
        _clock.Advance(Delay / 2);
        Assert.Equal(2, batcher.Waiting);
        _clock.Advance(Delay);
        var waited = await _device.NextAsync();
        Assert.Equal(2, waited.Rankings.Count);

        waited.End();
        first.End();
        await Task.WhenAll(all);
    }

    [Fact]
    public async Task Rankings_of_unlike_sizes_run_apart_and_the_oldest_goes_first_whatever_comes_after_it()
    {
        var batcher = Batcher();
        var all = new List<Task> { batcher.ScoreAsync(Ranking(10), default).AsTask() };
        var running = await _device.NextAsync();
        var large = Ranking(1000);
        all.Add(batcher.ScoreAsync(Ranking(10), default).AsTask());
        all.Add(batcher.ScoreAsync(large, default).AsTask());
        all.AddRange(Enumerable.Range(0, 7).Select(_ => batcher.ScoreAsync(Ranking(64), default).AsTask()));

        running.End();
        var small = await _device.NextAsync();
        Assert.Equal((4, 64), (small.Rankings.Count, small.Candidates));
        small.End();
        var next = await _device.NextAsync();
        Assert.Equal([large], next.Rankings);
        Assert.Equal(1024, next.Candidates);
        next.End();
        (await _device.NextAsync()).End();
        await Task.WhenAll(all);
    }

    [Fact]
    public async Task Candidates_of_a_batch_are_bounded_but_a_single_ranking_always_runs()
    {
        var batcher = Batcher(candidates: 2048);
        var all = new List<Task> { batcher.ScoreAsync(Ranking(4096), default).AsTask() };
        var huge = await _device.NextAsync();
        Assert.Equal(4096, huge.Candidates);
        all.AddRange(Enumerable.Range(0, 3).Select(_ => batcher.ScoreAsync(Ranking(1000), default).AsTask()));
        huge.End();
        var two = await _device.NextAsync();
        Assert.Equal(2, two.Rankings.Count);
        two.End();
        (await _device.NextAsync()).End();
        await Task.WhenAll(all);
    }

    [Fact]
    public async Task Ranking_past_its_deadline_is_answered_then_and_never_run()
    {
        var batcher = Batcher();
        var first = batcher.ScoreAsync(Ranking(), default).AsTask();
        var running = await _device.NextAsync();
        var late = Ranking(deadline: Deadline.After(TimeSpan.FromMilliseconds(5), _clock));
        var patient = Ranking();
        var (failing, waiting) = (batcher.ScoreAsync(late, default).AsTask(), batcher.ScoreAsync(patient, default).AsTask());

        _clock.Advance(TimeSpan.FromMilliseconds(4));
        Assert.False(failing.IsCompleted);
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(ScoringRejection.DeadlineExceeded, (await Assert.ThrowsAsync<ScoringRejectedException>(() => failing)).Reason);
        Assert.Equal(ScoringRejection.DeadlineExceeded, (await Assert.ThrowsAsync<ScoringRejectedException>(() => batcher.ScoreAsync(late, default).AsTask())).Reason);

        running.End();
        await first;
        var batch = await _device.NextAsync();
        Assert.Equal([patient], batch.Rankings);
        batch.End();
        await waiting;
    }

    [Fact]
    public async Task Caller_that_gives_up_leaves_the_queue_but_not_a_running_batch()
    {
        var batcher = Batcher();
        using var giveUp = new CancellationTokenSource();
        var ran = batcher.ScoreAsync(Ranking(), giveUp.Token).AsTask();
        var running = await _device.NextAsync();
        var queued = batcher.ScoreAsync(Ranking(), giveUp.Token).AsTask();

        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => queued);
        Assert.Equal(0, batcher.Waiting);

        // Its buffers are in use, so it must not return them to its pool before the run has ended.
        Assert.False(ran.IsCompleted);
        running.End();
        await ran;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => batcher.ScoreAsync(Ranking(), giveUp.Token).AsTask());
    }

    [Fact]
    public async Task Run_that_fails_fails_its_own_rankings_and_no_others()
    {
        var batcher = Batcher();
        var first = batcher.ScoreAsync(Ranking(), default).AsTask();
        var running = await _device.NextAsync();
        var second = batcher.ScoreAsync(Ranking(), default).AsTask();

        running.Fail(new InvalidOperationException("out of memory"));
        Assert.Equal("out of memory", (await Assert.ThrowsAsync<InvalidOperationException>(() => first)).Message);
        (await _device.NextAsync()).End();
        await second;
    }

    [Fact]
    public async Task Batch_is_put_together_when_it_has_its_place_of_those_who_are_in_time_then()
    {
        var gate = Gate(1);
        await gate.EnterAsync(Deadline.None, default);
        var batcher = Batcher(gate: gate);
        var late = batcher.ScoreAsync(Ranking(deadline: Deadline.After(TimeSpan.FromMilliseconds(5), _clock)), default).AsTask();
        var patient = Ranking();
        var waiting = batcher.ScoreAsync(patient, default).AsTask();

        _clock.Advance(TimeSpan.FromMilliseconds(5));
        await Assert.ThrowsAsync<ScoringRejectedException>(() => late);
        gate.Leave();
        var batch = await _device.NextAsync();
        Assert.Equal([patient], batch.Rankings);
        batch.End();
        await waiting;
    }

    [Fact]
    public async Task Without_a_queue_an_idle_device_still_runs()
    {
        var batcher = Batcher(queue: 0);
        var first = batcher.ScoreAsync(Ranking(), default).AsTask();
        var running = await _device.NextAsync();
        Assert.Equal(ScoringRejection.Overloaded, (await Assert.ThrowsAsync<ScoringRejectedException>(() => batcher.ScoreAsync(Ranking(), default).AsTask())).Reason);
        running.End();
        await first;
    }

    [Fact]
    public async Task Full_queue_rejects_at_once_as_overload()
    {
        var batcher = Batcher(queue: 2);
        var all = new List<Task> { batcher.ScoreAsync(Ranking(), default).AsTask() };
        var running = await _device.NextAsync();
        all.AddRange(Enumerable.Range(0, 2).Select(_ => batcher.ScoreAsync(Ranking(), default).AsTask()));

        var rejected = batcher.ScoreAsync(Ranking(), default);
        Assert.True(rejected.IsCompleted);
        Assert.Equal(ScoringRejection.Overloaded, (await Assert.ThrowsAsync<ScoringRejectedException>(rejected.AsTask)).Reason);
        running.End();
        (await _device.NextAsync()).End();
        await Task.WhenAll(all);
    }

    [Fact]
    public async Task No_ranking_is_lost_and_each_gets_its_own_scores()
    {
        const int Seed = 11;
        var batcher = new RankBatcher(
            new BatchingRules(Rankings: 4, Candidates: 4096, TimeSpan.FromMicroseconds(200), InFlight: 2, QueueLength: 20),
            (rankings, candidates) =>
            {
                Assert.InRange(rankings.Count, 1, 4);
                Assert.All(rankings, ranking => Assert.Equal(candidates, RankBatcher.BucketOf(ranking.Count)));
                foreach (var ranking in rankings)
                {
                    Array.Copy(ranking.Rows, ranking.Scores, ranking.Count);
                }
            },
            new AdmissionGate("rank", 2, 0, TimeProvider.System, _metrics),
            TimeProvider.System,
            _metrics);
        var (scored, refused) = (0, 0);

        await Task.WhenAll(Enumerable.Range(0, 30).Select(worker => Task.Run(async () =>
        {
            var random = new Random(Seed + worker);
            for (var round = 0; round < 300; round++)
            {
                using var cancellation = new CancellationTokenSource();
                var deadline = random.Next(3) == 0 ? Deadline.After(TimeSpan.FromMicroseconds(random.Next(300)), TimeProvider.System) : Deadline.None;
                var ranking = Ranking(random.Next(1, 300), deadline);
                Array.Fill(ranking.Rows, (worker * 1000) + round);
                var scoring = batcher.ScoreAsync(ranking, cancellation.Token).AsTask();
                if (random.Next(4) == 0)
                {
                    await cancellation.CancelAsync();
                }

                try
                {
                    await scoring.WaitAsync(TimeSpan.FromSeconds(60));
                }
                catch (Exception exception) when (exception is ScoringRejectedException or OperationCanceledException)
                {
                    Interlocked.Increment(ref refused);
                    continue;
                }

                Assert.All(ranking.Scores[..ranking.Count], score => Assert.Equal((worker * 1000) + round, score));
                Interlocked.Increment(ref scored);
            }
        })));

        Assert.Equal(30 * 300, scored + refused);
        Assert.True(scored > 0 && refused > 0);
        Assert.Equal(0, batcher.Waiting);
    }

    public static TheoryData<string, int> Batches => Golden.EachBundleWith(1, 2, 3, 7);

    [Theory]
    [MemberData(nameof(Batches))]
    public async Task Scores_of_a_batch_equal_those_of_single_runs(string bundle, int together)
    {
        using var state = new TemporaryFolder();
        using var alone = TestRuntime.Create(new ScoringOptions { MaxConcurrency = 1 });
        using var joined = TestRuntime.Create(new ScoringOptions { MaxConcurrency = 1, MaxBatch = 8 });
        await using var expected = await TestRuntime.LoadAsync(alone, Golden.Path(bundle), Path.Combine(state.Path, "alone"));
        await using var model = await TestRuntime.LoadAsync(joined, Golden.Path(bundle), Path.Combine(state.Path, "joined"));
        var layout = model.Layout;
        var random = new Random(together);
        var scoring = new List<Task>();
        var scores = new List<(float[] Alone, float[] Joined)>();

        // While the only place is taken, all of them gather, and then run as one.
        await joined.RankGate.EnterAsync(Deadline.None, default);
        for (var ranking = 0; ranking < together; ranking++)
        {
            var count = random.Next(1, 65);
            var rows = ModelFixture.Pinned(count * layout.Row, _ => random.NextSingle() - 0.5f);
            var context = ModelFixture.Pinned(layout.Context.Count, _ => random.NextSingle());
            var user = await expected.EncodeUserAsync(ModelFixture.GoldenUser(layout, ranking, bundle).Features, 1, default);
            var pair = (ModelFixture.Pinned(count, _ => 0), ModelFixture.Pinned(count, _ => 0));
            scores.Add(pair);
            await expected.ScoreAsync(user, rows, count, context, pair.Item1, Deadline.None, default);
            scoring.Add(model.ScoreAsync(user, rows, count, context, pair.Item2, Deadline.None, default).AsTask());
        }

        var sizes = new List<int>();
        using var listener = new System.Diagnostics.Metrics.MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter == joined.Metrics.Meter && instrument.Name == "recbackend.scorer.batch.size")
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<int>((_, size, _, _) => sizes.Add(size));
        listener.Start();
        joined.RankGate.Leave();
        await Task.WhenAll(scoring);

        Assert.Equal([together], sizes);
        Assert.All(scores, pair => Assert.All(pair.Alone.Zip(pair.Joined), score => Assert.Equal(score.First, score.Second, 1e-5f)));
        Assert.All(scores, pair => Assert.DoesNotContain(0, pair.Joined));
    }

    private RankBatcher Batcher(int inFlight = 1, int candidates = 65_536, int queue = 100, AdmissionGate? gate = null) =>
        new(new BatchingRules(Rankings: 4, candidates, Delay, inFlight, queue), _device.Run, gate ?? Gate(inFlight), _clock, _metrics);

    private AdmissionGate Gate(int places) => new("rank", places, 0, _clock, _metrics);

    private static QueuedRanking Ranking(int count = 10, Deadline? deadline = null) =>
        new(new UserEncoding("bundle", 1, [], []), new float[count], count, [], new float[count], deadline ?? Deadline.None);

    private sealed class FakeDevice
    {
        private readonly Channel<Batch> _batches = Channel.CreateUnbounded<Batch>();

        public void Run(IReadOnlyList<QueuedRanking> rankings, int candidates)
        {
            var batch = new Batch(rankings, candidates);
            _batches.Writer.TryWrite(batch);
            batch.Ended.GetAwaiter().GetResult();
        }

        /// <summary>The next batch that was started.</summary>
        public async Task<Batch> NextAsync() => await _batches.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(30));
    }

    private sealed class Batch(IReadOnlyList<QueuedRanking> rankings, int candidates)
    {
        private readonly TaskCompletionSource _ended = new();

        public IReadOnlyList<QueuedRanking> Rankings => rankings;

        public int Candidates => candidates;

        public Task Ended => _ended.Task;

        public void End()
        {
            foreach (var ranking in rankings)
            {
                ranking.Scores[0] = 1;
            }

            _ended.SetResult();
        }

        public void Fail(Exception failure) => _ended.SetException(failure);
    }
}
