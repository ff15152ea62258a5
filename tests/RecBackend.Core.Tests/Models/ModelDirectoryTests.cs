using System.Text;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Core.Storage;

namespace RecBackend.Core.Tests.Models;

public sealed class ModelDirectoryTests : IAsyncDisposable
{
    private static readonly CancellationToken None = CancellationToken.None;
    private readonly FakeBundleStore _bundles = new();
    private readonly FakeModel _first = new(1);
    private readonly FakeModel _second = new(2);
    private readonly FakeModel _third = new(3);
    private readonly InMemoryEngine _engine = new(TimeProvider.System);
    private readonly ModelDirectory _models;
    private readonly ItemWriter _writer;

    public ModelDirectoryTests()
    {
        _bundles.Add(_first).Add(_second).Add(_third);
        _models = new(_bundles, _engine, _engine, new() { EncodeBatch = 4 });
        _writer = new(_engine, _models, new());
    }

    [Fact]
    public async Task Start_fills_the_catalogue_of_the_bundle_that_was_active()
    {
        await StoreAsync(10);
        _bundles.Active = new("bundle-1", null);
        Assert.False(_models.Status.Ready);

        var progress = new JobProgress();
        await _models.StartAsync(progress, None);

        Assert.Equal((10, 10), (progress.Done, progress.Total));
        Assert.Equal((true, "bundle-1", 10), (_models.Status.Ready, _models.Status.Active, _models.Status.Items));
        Assert.Equal(10, _first.ItemEncodings);
        Assert.Equal([1f, 7f], Vectors("item 7")!);
    }

    [Fact]
    public async Task Second_start_encodes_nothing_again()
    {
        await StoreAsync(10);
        _bundles.Active = new("bundle-1", null);
        await _models.StartAsync(new(), None);

        var again = new FakeModel(1);
        await using var restarted = new ModelDirectory(_bundles.Add(again), _engine, _engine, new());
        await restarted.StartAsync(new(), None);

        Assert.Equal(10, restarted.Status.Items);
        Assert.Equal(0, again.ItemEncodings);
    }

    [Fact]
    public async Task Broken_active_bundle_leaves_the_one_before_it_and_the_reason()
    {
        await StoreAsync(3);
        _bundles.Active = new("bundle-1", "bundle-2");
        _bundles.Bundles["bundle-1"] = () => throw new BundleRefusedException("bundle_hash_mismatch", "ranker.onnx");

        await _models.StartAsync(new(), None);

        Assert.Equal(("bundle-2", null, "bundle_hash_mismatch"), (_models.Status.Active, _models.Status.Previous, _models.Status.Problem!.Code));
        Assert.True(_models.Status.Ready);
    }

    [Fact]
    public async Task Without_a_bundle_counters_are_there_for_the_fallback()
    {
        await StoreAsync(3);
        await _models.StartAsync(new(), None);
        await _engine.AppendAsync([new("1", "click", "u", "item 1", 5, null)], None);

        using var lease = _models.Lease();
        Assert.Null(lease.Serving);
        Assert.Equal((3, true), (lease.Catalog.Count, _models.Status.Ready));
        Assert.Null(_models.Status.Active);
    }

    [Fact]
    public async Task Activation_encodes_every_item_and_is_remembered()
    {
        await StoreAsync(10);
        await _models.StartAsync(new(), None);
        var progress = new JobProgress();

        await _models.ActivateAsync("bundle-1", progress, None);

        Assert.Equal((10, 10, 0), (progress.Done, progress.Total, progress.ErrorCount));
        Assert.Equal(new ActiveVersions("bundle-1", null), _bundles.Active);
        Assert.Equal(10, _models.Status.Items);
        Assert.All(await AllAsync(), record => Assert.Equal("bundle-1", Assert.Single(record.Representations).Bundle));
    }

    [Fact]
    public async Task Items_that_change_while_a_bundle_is_prepared_are_not_lost()
    {
        await StoreAsync(20);
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
        var reads = 0;
        _engine.BeforeRead = async _ =>
        {
            if (reads++ != 5)
            {
                return;
            }

            await _engine.AppendAsync([new("e", "click", "u", "item 15", 5, null)], None);
            await _engine.DeleteAsync(["item 0", "item 16"], None);
            await _engine.UpsertAsync([new("item 1", Content(101), null), new("item 17", Content(117), null), new("item 99", Content(99), null)], None);
        };

        await _models.ActivateAsync("bundle-2", new(), None);

        Assert.Null(Vectors("item 0"));
        Assert.Null(Vectors("item 16"));
        Assert.Equal([2f, 101f], Vectors("item 1")!);
        Assert.Equal([2f, 117f], Vectors("item 17")!);
        Assert.Equal([2f, 99f], Vectors("item 99")!);
        Assert.Equal([2f, 15f], Vectors("item 15")!);
        Assert.Equal(1, Counters("item 15").Clicks);
        Assert.Equal(19, _models.Status.Items);
    }

    [Fact]
    public async Task Item_written_while_a_bundle_is_prepared_is_there_when_it_answers()
    {
        await StoreAsync(5);
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
        _engine.BeforeRead = async record =>
        {
            if (record.Id == "item 4")
            {
                await _writer.UpsertAsync([new("late", Content(77))], None);
                Assert.Equal([1f, 77f], Vectors("late")!);
            }
        };

        await _models.ActivateAsync("bundle-2", new(), None);

        Assert.Equal([2f, 77f], Vectors("late")!);
    }

    [Fact]
    public async Task Second_activation_while_one_runs_is_refused()
    {
        await StoreAsync(5);
        await _models.StartAsync(new(), None);
        _engine.BeforeRead = async record =>
        {
            Assert.Equal("bundle-1", _models.Status.Preparing);
            var refusal = await Assert.ThrowsAsync<OperationRefusedException>(() => _models.ActivateAsync("bundle-2", new(), None));
            Assert.Equal("activation_in_progress", refusal.Code);
            Assert.Equal("activation_in_progress", Assert.Throws<OperationRefusedException>(RollBack).Code);
        };
        await _models.ActivateAsync("bundle-1", new(), None);
        Assert.Equal(("bundle-1", null), (_models.Status.Active, _models.Status.Preparing));
    }

    [Fact]
    public async Task Cancelled_activation_leaves_the_active_bundle()
    {
        await StoreAsync(5);
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
        using var stop = new CancellationTokenSource();
        _engine.BeforeRead = _ =>
        {
            stop.Cancel();
            return Task.CompletedTask;
        };

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _models.ActivateAsync("bundle-2", new(), stop.Token));

        Assert.Equal(("bundle-1", null, new ActiveVersions("bundle-1", null)), (_models.Status.Active, _models.Status.Preparing, _bundles.Active));
        Assert.True(_second.Disposed);
        _engine.BeforeRead = null;
        await _models.ActivateAsync("bundle-3", new(), None);
        Assert.Equal("bundle-3", _models.Status.Active);
    }

    [Fact]
    public async Task Refused_bundle_leaves_the_active_one()
    {
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
        await Assert.ThrowsAsync<BundleRefusedException>(() => _models.ActivateAsync("bundle-9", new(), None));
        Assert.Equal("bundle-1", _models.Status.Active);
    }

    [Fact]
    public async Task Rollback_answers_with_the_bundle_before_and_all_that_was_written_since()
    {
        await StoreAsync(5);
        await _models.StartAsync(new(), None);
        Assert.Equal("rollback_unavailable", Assert.Throws<OperationRefusedException>(RollBack).Code);
        await _models.ActivateAsync("bundle-1", new(), None);
        await _models.ActivateAsync("bundle-2", new(), None);
        await _writer.UpsertAsync([new("new", Content(50)), new("item 1", Content(51))], None);
        await _engine.DeleteAsync(["item 2"], None);

        await _models.RollbackAsync("bundle-2", new(), None);

        Assert.Equal(("bundle-1", "bundle-2", new ActiveVersions("bundle-1", "bundle-2")), (_models.Status.Active, _models.Status.Previous, _bundles.Active));
        Assert.Equal([1f, 50f], Vectors("new")!);
        Assert.Equal([1f, 51f], Vectors("item 1")!);
        Assert.Null(Vectors("item 2"));

        await _models.ActivateAsync("bundle-2", new(), None);
        Assert.Equal([2f, 51f], Vectors("item 1")!);
    }

    [Fact]
    public async Task Bundle_that_is_no_longer_kept_loses_its_representations_and_its_memory()
    {
        await StoreAsync(5);
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
        await _models.ActivateAsync("bundle-2", new(), None);
        var held = _models.Lease("bundle-1");

        await _models.ActivateAsync("bundle-3", new(), None);

        Assert.Equal(["bundle-2", "bundle-3"], _engine.Kept!.Order());
        Assert.All(await AllAsync(), record => Assert.Equal(["bundle-2", "bundle-3"], record.Representations.Select(one => one.Bundle).Order()));
        Assert.False(_first.Disposed);
        held.Dispose();
        await WaitAsync(() => Task.FromResult(_first.Disposed));
    }

    [Fact]
    public async Task Item_with_a_picture_that_the_bundle_cannot_read_is_encoded_by_its_words()
    {
        await _models.StartAsync(new(), None);
        await _engine.UpsertAsync([new("pictured", Content(7) with { Image = [1, 2, 3] }, null)], None);
        var progress = new JobProgress();

        await _models.ActivateAsync("bundle-1", progress, None);

        Assert.Equal([1f, 7f], Vectors("pictured")!);
        Assert.Equal(("pictured", "image_invalid"), (Assert.Single(progress.Errors).Item, progress.Errors[0].Code));
        Assert.NotNull((await _engine.GetAsync("pictured", None))!.Content.Image);
    }

    [Fact]
    public async Task Rollback_waits_for_what_is_not_encoded_yet_for_the_bundle_before()
    {
        await StartWithTwoAsync();
        var gate = new TaskCompletionSource();
        _first.ItemGate = gate.Task;
        await _writer.UpsertAsync([new("new", Content(50)), new("item 1", Content(51))], None);

        var rollback = _models.RollbackAsync("bundle-2", new(), None);
        Assert.False(rollback.IsCompleted);
        Assert.Equal("bundle-2", _models.Status.Active);
        gate.SetResult();
        await rollback;

        Assert.Equal([1f, 50f], Vectors("new")!);
        Assert.Equal([1f, 51f], Vectors("item 1")!);
    }

    [Fact]
    public async Task Activation_of_the_bundle_before_waits_for_what_is_not_encoded_yet()
    {
        await StartWithTwoAsync();
        var gate = new TaskCompletionSource();
        _first.ItemGate = gate.Task;
        await _writer.UpsertAsync([new("new", Content(50))], None);

        var activation = _models.ActivateAsync("bundle-1", new(), None);
        Assert.False(activation.IsCompleted);
        gate.SetResult();
        await activation;

        Assert.Equal([1f, 50f], Vectors("new")!);
    }

    [Fact]
    public async Task Host_that_missed_changes_comes_to_both_models_of_the_others()
    {
        await StartWithTwoAsync();
        await _models.FollowAsync(new("bundle-3", "bundle-1"), _ => Task.CompletedTask, None);

        Assert.Equal(("bundle-3", "bundle-1"), (_models.Status.Active, _models.Status.Previous));
        Assert.Equal(new ActiveVersions("bundle-3", "bundle-1"), _bundles.Active);
        await WaitAsync(() => Task.FromResult(_second.Disposed));
        using var previous = _models.Lease("bundle-1");
        Assert.Equal(5, previous.Catalog.Count);

        await _models.FollowAsync(new("bundle-3", null), _ => Task.CompletedTask, None);
        Assert.Null(_models.Status.Previous);
    }

    [Fact]
    public async Task Change_together_with_other_hosts_leaves_old_representations_to_whoever_leads_it()
    {
        await StartWithTwoAsync();
        var kept = _engine.Kept;
        await _models.ActivateAsync("bundle-3", new(), _ => Task.CompletedTask, None);
        Assert.Same(kept, _engine.Kept);
        Assert.All(await AllAsync(), record => Assert.Equal(3, record.Representations.Count));
    }

    [Fact]
    public async Task Time_of_an_activation_is_told_and_that_of_one_that_is_refused_is_not()
    {
        var clock = new ManualClock();
        await using var models = new ModelDirectory(_bundles, _engine, _engine, new(), clock: clock);
        await models.StartAsync(new(), None);
        Assert.Null(models.Status.ActivatedAt);
        await models.ActivateAsync("bundle-1", new(), None);
        var first = clock.GetUtcNow();
        Assert.Equal(first, models.Status.ActivatedAt);

        clock.Advance(TimeSpan.FromMinutes(1));
        await Assert.ThrowsAsync<BundleRefusedException>(() => models.ActivateAsync("nothing", new(), None));
        Assert.Equal(first, models.Status.ActivatedAt);
        await models.ActivateAsync("bundle-2", new(), None);
        await models.RollbackAsync("bundle-2", new(), None);
        Assert.Equal(clock.GetUtcNow(), models.Status.ActivatedAt);
    }

    [Fact]
    public async Task Rollback_that_is_asked_for_twice_happens_once()
    {
        await StartWithTwoAsync();
        await _models.RollbackAsync("bundle-2", new(), None);
        var again = await Assert.ThrowsAsync<OperationRefusedException>(() => _models.RollbackAsync("bundle-2", new(), None));
        Assert.Equal("rollback_unavailable", again.Code);
        Assert.Equal("bundle-1", _models.Status.Active);
    }

    [Fact]
    public async Task Item_that_could_not_be_encoded_in_the_background_fails_the_activation_instead_of_being_lost()
    {
        await StoreAsync(5);
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
        _engine.BeforeRead = async record =>
        {
            if (record.Id == "item 4")
            {
                _engine.RefusesRepresentations = new StorageException(StorageException.Overloaded, "Too many writes wait.");
                var refusal = await Assert.ThrowsAsync<StorageException>(() => _writer.UpsertAsync([new("late", Content(77))], None).AsTask());
                Assert.Equal(StorageException.Overloaded, refusal.Code);
            }
        };

        await Assert.ThrowsAsync<StorageException>(() => _models.ActivateAsync("bundle-2", new(), None));

        Assert.Equal(("bundle-1", null), (_models.Status.Active, _models.Status.Preparing));
        Assert.Equal([1f, 77f], Vectors("late")!);
    }

    [Fact]
    public async Task Item_that_could_not_be_encoded_in_the_background_is_tried_again()
    {
        await StartWithTwoAsync();
        _engine.RefusesRepresentations = new StorageException(StorageException.Overloaded, "Too many writes wait.");
        await _writer.UpsertAsync([new("new", Content(50))], None);
        await Assert.ThrowsAsync<StorageException>(() => _models.RollbackAsync("bundle-2", new(), None));
        Assert.Equal(("bundle-2", null), (_models.Status.Active, _models.Status.Preparing));

        _engine.RefusesRepresentations = null;
        await WaitAsync(async () => (await _engine.GetAsync("new", None))?.RepresentationFor("bundle-1") is not null);
        await _models.RollbackAsync("bundle-2", new(), None);
        Assert.Equal([1f, 50f], Vectors("new")!);
    }

    [Fact]
    public async Task Item_that_no_encoder_can_take_does_not_hold_back_the_others()
    {
        await StartWithTwoAsync();
        var gate = new TaskCompletionSource();
        (_first.ItemGate, _first.Fails) = (gate.Task, "66");
        await _writer.UpsertAsync([new("good", Content(50)), new("bad", Content(66)), new("fine", Content(51))], None);
        gate.SetResult();

        var progress = new JobProgress();
        await _models.RollbackAsync("bundle-2", progress, None);

        Assert.Equal(("bad", "encoding_failed"), (Assert.Single(progress.Errors).Item, progress.Errors[0].Code));
        Assert.Equal([1f, 50f], Vectors("good")!);
        Assert.Equal([1f, 51f], Vectors("fine")!);
        Assert.Null(Vectors("bad"));
    }

    [Fact]
    public async Task Item_that_the_encoder_breaks_on_does_not_stop_an_activation_and_is_tried_again()
    {
        await StoreAsync(5);
        await _engine.UpsertAsync([new("bad", Content(66), null)], None);
        await _models.StartAsync(new(), None);
        _first.Fails = "66";
        var progress = new JobProgress();

        await _models.ActivateAsync("bundle-1", progress, None);

        Assert.Equal(("bundle-1", 5), (_models.Status.Active, _models.Status.Items));
        Assert.Equal(("bad", "encoding_failed"), (Assert.Single(progress.Errors).Item, progress.Errors[0].Code));
        Assert.Null(Vectors("bad"));
        _first.Fails = null;
        await WaitAsync(() => Task.FromResult(Vectors("bad") is not null));
    }

    [Fact]
    public async Task Item_that_the_encoder_breaks_on_does_not_stop_the_start()
    {
        await StoreAsync(5);
        await _engine.UpsertAsync([new("bad", Content(66), null)], None);
        _bundles.Active = new("bundle-1", null);
        _first.Fails = "66";

        await _models.StartAsync(new(), None);

        Assert.Equal((true, "bundle-1", 5), (_models.Status.Ready, _models.Status.Active, _models.Status.Items));
    }

    [Fact]
    public async Task Encoder_that_breaks_on_every_item_is_not_activated()
    {
        await StoreAsync(3);
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
        await _engine.UpsertAsync([.. Enumerable.Range(0, 3).Select(i => new ItemUpsert($"item {i}", Content(66), null))], None);
        _second.Fails = "66";

        await Assert.ThrowsAsync<InvalidOperationException>(() => _models.ActivateAsync("bundle-2", new(), None));

        Assert.Equal(("bundle-1", null), (_models.Status.Active, _models.Status.Preparing));
    }

    [Fact]
    public async Task Storage_that_takes_no_representations_fails_the_activation()
    {
        await StoreAsync(5);
        await _models.StartAsync(new(), None);
        _engine.RefusesRepresentations = new StorageException(StorageException.Full, "No space.");

        await Assert.ThrowsAsync<StorageException>(() => _models.ActivateAsync("bundle-1", new(), None));

        Assert.Equal((null, null), (_models.Status.Active, _models.Status.Preparing));
    }

    [Fact]
    public async Task Activation_that_took_effect_is_no_failure_if_the_clearing_up_fails()
    {
        await StartWithTwoAsync();
        using var stop = new CancellationTokenSource();
        _engine.BeforeTrim = async () =>
        {
            await stop.CancelAsync();
            throw new StorageException(StorageException.Full, "No space.");
        };

        await _models.ActivateAsync("bundle-3", new(), stop.Token);

        Assert.Equal("bundle-3", _models.Status.Active);
    }

    /// <summary>Rankings go on while bundles are activated and rolled back. Every score says which bundle made the row, the encoding and the run.</summary>
    [Fact]
    public async Task Score_never_mixes_bundles_while_they_are_swapped()
    {
        FakeModel[] models = [.. Enumerable.Range(1, 12).Select(number => new FakeModel(number) { Asynchronous = true })];
        Array.ForEach(models, model => _bundles.Add(model));
        await StoreAsync(40);
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
        var pipeline = new RankingPipeline(_models, _engine, TimeProvider.System);
        var swapping = true;
        var rankings = 0L;

        var rankers = Enumerable.Range(0, 3).Select(ranker => Task.Run(async () =>
        {
            var answered = new HashSet<string>();
            for (var round = 0; Volatile.Read(ref swapping); round++)
            {
                var request = new RankRequest { User = $"user {ranker}" };
                for (var i = 0; i < 40; i++)
                {
                    request.Candidates.Add(Encoding.UTF8.GetBytes($"item {i}"));
                }

                if (round % 5 == 0)
                {
                    await _engine.AppendAsync([new($"{ranker} {round}", "click", request.User, "item 3", round, null)], None);
                }

                using var ranking = await pipeline.RankAsync(request, None);
                Assert.Equal(RankingMode.Model, ranking.Mode);
                Assert.Equal(40, ranking.Items.Length);
                foreach (var item in ranking.Items)
                {
                    Assert.Equal(ranking.Model, $"bundle-{(int)item.Score}");
                }

                answered.Add(ranking.Model!);
                Interlocked.Increment(ref rankings);
            }

            return answered;
        })).ToArray();

        for (var number = 2; number <= 12; number++)
        {
            await _models.ActivateAsync($"bundle-{number}", new(), None);
            await _models.RollbackAsync($"bundle-{number}", new(), None);
            await _models.RollbackAsync($"bundle-{number - 1}", new(), None);
            var so = Interlocked.Read(ref rankings);
            await WaitAsync(() => Task.FromResult(Interlocked.Read(ref rankings) > so + 20 || rankers.Any(ranker => ranker.IsFaulted)));
        }

        Volatile.Write(ref swapping, false);
        var seen = await Task.WhenAll(rankers);
        Assert.True(seen.SelectMany(answered => answered).Distinct().Count() > 3);
        Assert.All(models, model => Assert.False(model.Mixed || model.DisposedWhileScoring));
        await WaitAsync(() => Task.FromResult(models[..10].All(model => model.Disposed)));
        Assert.DoesNotContain(models[10..], model => model.Disposed);
    }

    public async ValueTask DisposeAsync() => await _models.DisposeAsync();

    private static ItemContent Content(int number) => new() { Title = $"{number}" };

    private static async Task WaitAsync(Func<Task<bool>> condition)
    {
        for (var i = 0; i < 2_000 && !await condition(); i++)
        {
            await Task.Delay(5);
        }

        Assert.True(await condition());
    }

    private async Task StartWithTwoAsync()
    {
        await StoreAsync(5);
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
        await _models.ActivateAsync("bundle-2", new(), None);
    }

    private void RollBack() => _models.RollbackAsync(_models.Status.Active ?? "none", new(), None).GetAwaiter().GetResult();

    private async Task StoreAsync(int items) =>
        await _engine.UpsertAsync([.. Enumerable.Range(0, items).Select(i => new ItemUpsert($"item {i}", Content(i), null))], None);

    private async Task<List<ItemRecord>> AllAsync()
    {
        var records = new List<ItemRecord>();
        await foreach (var record in _engine.ReadAllAsync(None))
        {
            records.Add(record);
        }

        return records;
    }

    /// <summary>The first two floats of the item's representation for the active bundle: the bundle's number and the item's.</summary>
    private float[]? Vectors(string id)
    {
        using var lease = _models.Lease();
        var vectors = new float[lease.Catalog.VectorWidth];
        return lease.Catalog.TryGetRow(Encoding.UTF8.GetBytes(id), vectors) ? vectors[2..4] : null;
    }

    private ItemCounters Counters(string id)
    {
        using var lease = _models.Lease();
        var candidates = new CandidateList();
        candidates.Add(Encoding.UTF8.GetBytes(id));
        var rows = new Core.Catalog.CandidateRows();
        lease.Catalog.Gather(candidates, 0, rows);
        return rows.Counters[0];
    }
}
