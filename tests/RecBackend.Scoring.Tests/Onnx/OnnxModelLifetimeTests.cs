using System.Diagnostics.Metrics;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Tests.Onnx;

public sealed class OnnxModelLifetimeTests : IDisposable
{
    private readonly TemporaryFolder _state = new();

    public void Dispose() => _state.Dispose();

    [Fact]
    public async Task Dispose_waits_for_those_who_use_the_model_and_lets_nobody_else_in()
    {
        using var runtime = TestRuntime.Create(new ScoringOptions { MaxConcurrency = 1 });
        var model = await TestRuntime.LoadAsync(runtime, Golden.Path("tiny-bundle"), _state.Path);
        await runtime.RankGate.EnterAsync(Deadline.None, default);
        var features = ModelFixture.GoldenUser(model.Layout, 0).Features;
        var encoding = model.EncodeUserAsync(features, 1, default);

        var disposing = model.DisposeAsync();
        Assert.False(disposing.IsCompleted);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => model.EncodeUserAsync(features, 1, default).AsTask());
        runtime.RankGate.Leave();

        Assert.NotNull(await encoding);
        await disposing;
        await model.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => model.EncodeItemsAsync([new ItemContent()], new float[model.Layout.Representation], EncodingUrgency.Warm, default).AsTask());
    }

    [Fact]
    public async Task Dispose_during_concurrent_runs_ends_each_of_them_well_or_refuses_it()
    {
        using var runtime = TestRuntime.Create();
        for (var round = 0; round < 5; round++)
        {
            var model = await TestRuntime.LoadAsync(runtime, Golden.Path("tiny-bundle"), _state.Path);
            var features = ModelFixture.GoldenUser(model.Layout, 0).Features;
            var started = new TaskCompletionSource();
            var runs = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
            {
                while (true)
                {
                    try
                    {
                        await model.EncodeUserAsync(features, 1, default);
                        started.TrySetResult();
                    }
                    catch (ObjectDisposedException)
                    {
                        return;
                    }
                }
            })).ToList();

            await started.Task;
            await model.DisposeAsync();
            await Task.WhenAll(runs);
        }
    }

    [Fact]
    public async Task Full_queue_and_passed_deadline_reject_a_score()
    {
        var clock = new FakeClock();
        using var runtime = TestRuntime.Create(new ScoringOptions { MaxConcurrency = 1, QueueLength = 0 }, clock);
        await using var model = await TestRuntime.LoadAsync(runtime, Golden.Path("tiny-bundle"), _state.Path);
        var user = await model.EncodeUserAsync(ModelFixture.GoldenUser(model.Layout, 0).Features, 1, default);
        var deadline = Deadline.After(TimeSpan.FromMilliseconds(5), clock);

        await runtime.RankGate.EnterAsync(Deadline.None, default);
        Assert.Equal(ScoringRejection.Overloaded, await RejectionAsync());
        runtime.RankGate.Leave();
        await ScoreAsync();
        clock.Advance(TimeSpan.FromMilliseconds(5));
        Assert.Equal(ScoringRejection.DeadlineExceeded, await RejectionAsync());

        Task ScoreAsync() =>
            model.ScoreAsync(user, new float[model.Layout.Row], 1, new float[model.Layout.Context.Count], new float[1], deadline, default).AsTask();

        async Task<ScoringRejection> RejectionAsync() => (await Assert.ThrowsAsync<ScoringRejectedException>(ScoreAsync)).Reason;
    }

    [Fact]
    public async Task Encoding_of_items_waits_for_rankings_that_wait_but_not_for_good()
    {
        var clock = new FakeClock();
        using var runtime = TestRuntime.Create(new ScoringOptions { MaxConcurrency = 1, EncodingConcurrency = 1 }, clock);
        await using var model = await TestRuntime.LoadAsync(runtime, Golden.Path("tiny-bundle"), _state.Path);
        await runtime.RankGate.EnterAsync(Deadline.None, default);
        var waiting = runtime.RankGate.EnterAsync(Deadline.None, default).AsTask();

        var first = EncodeAsync();
        Assert.False(first.IsCompleted);
        runtime.RankGate.Leave();
        await waiting;
        await first;

        waiting = runtime.RankGate.EnterAsync(Deadline.None, default).AsTask();
        var second = EncodeAsync();
        clock.Advance(OnnxModel.LongestYield - TimeSpan.FromMilliseconds(1));
        Assert.False(second.IsCompleted);
        clock.Advance(TimeSpan.FromMilliseconds(1));
        await second;
        runtime.RankGate.Leave();
        await waiting;

        Task EncodeAsync() => model.EncodeItemsAsync(ModelFixture.Contents(1, seed: 1), new float[model.Layout.Representation], EncodingUrgency.Ingest, default).AsTask();
    }

    [Fact]
    public async Task Items_that_a_caller_writes_are_encoded_before_bulk_work()
    {
        using var runtime = TestRuntime.Create(new ScoringOptions { MaxConcurrency = 1, EncodingConcurrency = 1 });
        await using var model = await TestRuntime.LoadAsync(runtime, Golden.Path("tiny-bundle"), _state.Path);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await runtime.EncodeGate.EnterAsync(Deadline.None, limit.Token);
        var bulk = EncodeAsync(EncodingUrgency.Warm);
        var ingest = EncodeAsync(EncodingUrgency.Ingest);

        // Takes the place after the item, before the bulk work, which cannot end while it holds it.
        var next = runtime.EncodeGate.EnterAsync(Deadline.None, limit.Token).AsTask();
        runtime.EncodeGate.Leave();
        await ingest;
        await next;
        Assert.False(bulk.IsCompleted);
        Assert.Equal(1, runtime.EncodeGate.Waiting);

        runtime.EncodeGate.Leave();
        await bulk;

        Task EncodeAsync(EncodingUrgency urgency) =>
            model.EncodeItemsAsync(ModelFixture.Contents(1, seed: 1), new float[model.Layout.Representation], urgency, limit.Token).AsTask();
    }

    [Fact]
    public async Task Bulk_encoding_takes_no_place_of_the_rankings()
    {
        using var runtime = TestRuntime.Create(new ScoringOptions { MaxConcurrency = 1, QueueLength = 0, EncodingConcurrency = 1 });
        await using var model = await TestRuntime.LoadAsync(runtime, Golden.Path("tiny-bundle"), _state.Path);
        await runtime.EncodeGate.EnterAsync(Deadline.None, default);
        var bulk = model.EncodeItemsAsync(ModelFixture.Contents(100, seed: 1), new float[100 * model.Layout.Representation], EncodingUrgency.Warm, default);

        Assert.NotNull(await model.EncodeUserAsync(ModelFixture.GoldenUser(model.Layout, 0).Features, 1, default));
        Assert.False(bulk.IsCompleted);
        runtime.EncodeGate.Leave();
        await bulk;
    }

    [Fact]
    public async Task Cancelled_bulk_encoding_ends_and_gives_its_place_back()
    {
        using var runtime = TestRuntime.Create(new ScoringOptions { EncodingConcurrency = 1 });
        await using var model = await TestRuntime.LoadAsync(runtime, Golden.Path("tiny-bundle"), _state.Path);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            model.EncodeItemsAsync([new ItemContent()], new float[model.Layout.Representation], EncodingUrgency.Warm, new CancellationToken(canceled: true)).AsTask());

        Assert.Equal(1, runtime.EncodeGate.Free);
    }

    [Fact]
    public async Task Runs_and_rejections_are_counted()
    {
        var counted = new Dictionary<string, double>();
        using var listener = new MeterListener();
        using var runtime = TestRuntime.Create(new ScoringOptions { MaxConcurrency = 1, QueueLength = 0 });
        listener.InstrumentPublished = (instrument, published) =>
        {
            if (instrument.Name.StartsWith("recbackend.scorer.", StringComparison.Ordinal) && ReferenceEquals(instrument.Meter, runtime.Metrics.Meter))
            {
                published.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => counted[$"{instrument.Name} {tags[0].Value}"] = value);
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => Count(instrument, value));
        listener.SetMeasurementEventCallback<double>((instrument, _, _, _) => Count(instrument, 1));
        listener.Start();
        await using var model = await TestRuntime.LoadAsync(runtime, Golden.Path("tiny-bundle"), _state.Path);
        var features = ModelFixture.GoldenUser(model.Layout, 0).Features;

        await model.EncodeUserAsync(features, 1, default);
        await runtime.RankGate.EnterAsync(Deadline.None, default);
        listener.RecordObservableInstruments();
        Assert.Equal((1, 0), (counted["recbackend.scorer.running rank"], counted["recbackend.scorer.running encode"]));
        await Assert.ThrowsAsync<ScoringRejectedException>(() => model.EncodeUserAsync(features, 1, default).AsTask());
        runtime.RankGate.Leave();

        listener.RecordObservableInstruments();
        Assert.Equal((0, 0), (counted["recbackend.scorer.running rank"], counted["recbackend.scorer.queue rank"]));
        Assert.Equal(1, counted["recbackend.scorer.rejected"]);
        Assert.Equal(4 + 1, counted["recbackend.scorer.run.duration"]); // four golden runs, of which two are the ranker's, and one encoding

        void Count(Instrument instrument, double value) => counted[instrument.Name] = counted.GetValueOrDefault(instrument.Name) + value;
    }
}
