using System.Text;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Core.Storage;

namespace RecBackend.Core.Tests.Ranking;

public sealed class RankingPipelineTests : IAsyncDisposable
{
    private readonly ManualClock _clock = new();
    private readonly FakeBundleStore _bundles = new();
    private readonly FakeModel _model = new(1);
    private readonly InMemoryEngine _engine;
    private readonly ModelDirectory _models;
    private readonly RankingPipeline _pipeline;
    private readonly ItemWriter _writer;

    public RankingPipelineTests()
    {
        _engine = new(_clock);
        _models = new(_bundles.Add(_model), _engine, _engine, new());
        _pipeline = new(_models, _engine, _clock);
        _writer = new(_engine, _models, new());
    }

    [Fact]
    public async Task Candidates_come_by_falling_score_and_ties_in_the_requests_order()
    {
        await StartAsync(("a", 3), ("b", 7), ("c", 3), ("d", 9));
        using var ranking = await RankAsync("a", "c", "d", "b");
        Assert.Equal(["d", "b", "a", "c"], Names(ranking, "a", "c", "d", "b"));
        Assert.Equal((RankingMode.Model, FallbackReason.None, "bundle-1"), (ranking.Mode, ranking.Reason, ranking.Model));
        Assert.Equal(1.009f, ranking.Items[0].Score);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(40)]
    [InlineData(299)]
    [InlineData(300)]
    [InlineData(5_000)]
    public async Task Limit_gives_the_front_of_the_whole_ranking(int limit)
    {
        var random = new Random(limit);
        await StartAsync([.. Enumerable.Range(0, 300).Select(i => ($"{i}", random.Next(60)))]);
        string[] ids = [.. Enumerable.Range(0, 300).Select(i => $"{i}")];

        using var whole = await RankAsync(ids);
        using var front = await RankAsync(new RankRequest { Limit = limit }, ids);

        Assert.Equal(300, whole.Items.Length);
        Assert.Equal(whole.Items[..Math.Min(limit, 300)].ToArray(), front.Items.ToArray());
        Assert.Equal(whole.Items.ToArray().OrderByDescending(item => item.Score).ThenBy(item => item.Candidate), whole.Items.ToArray());
    }

    [Fact]
    public async Task Repeated_candidate_is_ranked_once()
    {
        await StartAsync(("a", 1), ("b", 2));
        using var ranking = await RankAsync("a", "b", "a", "b", "a");
        Assert.Equal([1, 0], ranking.Items.ToArray().Select(item => item.Candidate));
    }

    [Fact]
    public async Task Candidate_never_seen_is_listed_and_not_ranked()
    {
        await StartAsync(("a", 1));
        using var ranking = await RankAsync("x", "a", "y", "x");
        Assert.Equal([0, 2], ranking.Unknown.ToArray());
        Assert.Equal(1, ranking.Items.ToArray().Single().Candidate);
    }

    [Fact]
    public async Task Only_unknown_candidates_give_an_empty_ranking_by_the_model()
    {
        await StartAsync(("a", 1));
        using var ranking = await RankAsync("x", "y");
        Assert.Equal(RankingMode.Model, ranking.Mode);
        Assert.True(ranking.Items.IsEmpty);
        Assert.Equal([0, 1], ranking.Unknown.ToArray());
    }

    [Fact]
    public async Task Empty_request_gives_an_empty_ranking()
    {
        await StartAsync(("a", 1));
        using var ranking = await RankAsync();
        Assert.True(ranking.Items.IsEmpty);
        Assert.True(ranking.Unknown.IsEmpty);
    }

    [Fact]
    public async Task Nan_score_comes_last_and_is_a_number_outside()
    {
        await StartAsync(("a", 1), ("b", 2), ("c", -900));
        await _engine.SetRepresentationsAsync(
            [new("a", new("bundle-1", [1, float.NaN, 0, 0], RepresentationSource.External), null)], CancellationToken.None);
        using var ranking = await RankAsync("a", "b", "c");
        Assert.Equal(["b", "c", "a"], Names(ranking, "a", "b", "c"));
        Assert.Equal(0, ranking.Items[2].Score);
    }

    [Fact]
    public async Task Item_that_training_did_not_know_is_marked_cold()
    {
        await StartAsync(("known", 2), ("new", 1));
        using var ranking = await RankAsync("known", "new");
        Assert.Equal([false, true], ranking.Items.ToArray().Select(item => item.Cold));
    }

    [Fact]
    public async Task Item_is_ranked_by_the_model_as_soon_as_it_is_written_and_not_after_it_is_deleted()
    {
        await StartAsync(("a", 1));
        await _writer.UpsertAsync([Item("b", 5)], CancellationToken.None);
        using (var ranking = await RankAsync("a", "b"))
        {
            Assert.Equal(["b", "a"], Names(ranking, "a", "b"));
        }

        await _engine.DeleteAsync(["b"], CancellationToken.None);
        using (var ranking = await RankAsync("a", "b"))
        {
            Assert.Equal([1], ranking.Unknown.ToArray());
        }
    }

    [Fact]
    public async Task Model_reads_the_statistics_and_the_context_of_this_moment()
    {
        await StartAsync(("a", 1), ("b", 2));
        var start = _clock.GetUtcNow().ToUnixTimeMilliseconds();
        await _engine.AppendAsync([new("1", "impression", "u", "a", start, null), new("2", "click", "u", "a", start, null)], CancellationToken.None);
        _clock.Advance(TimeSpan.FromDays(3));
        float[] statistics = [], context = [];
        _model.OnScore = (rows, given, _) => (statistics, context) = (rows[6..9], given[..1]);

        using var ranking = await RankAsync("a", "b");

        float[] expected = [(float)Math.Log(2), (float)((1 + 5) / 11.0), (float)Math.Log(4)];
        Assert.Equal(expected, statistics);
        Assert.Equal([(float)Math.Log(1 + 3 * 86_400.0)], context);
        Assert.Equal(expected, ranking.Statistics(ranking.Items[1]).ToArray());

        using var replayed = await RankAsync(new RankRequest { Timestamp = start }, "a", "b");
        Assert.Equal([0f], context);
    }

    [Fact]
    public async Task User_is_encoded_once_until_an_event_comes()
    {
        await StartAsync(("a", 1));
        await ClickAsync("u", "a");
        (await RankAsync("a")).Dispose();
        (await RankAsync("a")).Dispose();
        Assert.Equal(1, _model.UserEncodings);

        await ClickAsync("u", "a");
        (await RankAsync("a")).Dispose();
        Assert.Equal(2, _model.UserEncodings);
    }

    [Fact]
    public async Task Change_of_an_item_of_the_history_encodes_the_user_again()
    {
        await StartAsync(("a", 1), ("b", 2), ("c", 3));
        await ClickAsync("u", "a");
        await ClickAsync("u", "b");
        (await RankAsync("c")).Dispose();

        await _writer.UpsertAsync([Item("a", 9)], CancellationToken.None);
        (await RankAsync("c")).Dispose();
        Assert.Equal(2, _model.UserEncodings);

        await _engine.SetRepresentationsAsync([new("b", new("bundle-1", [1, 7, 7, 7], RepresentationSource.External), null)], CancellationToken.None);
        (await RankAsync("c")).Dispose();
        Assert.Equal(3, _model.UserEncodings);

        await _engine.DeleteAsync(["b"], CancellationToken.None);
        (await RankAsync("c")).Dispose();
        Assert.Equal(4, _model.UserEncodings);

        await _writer.UpsertAsync([Item("b", 2)], CancellationToken.None);
        (await RankAsync("c")).Dispose();
        Assert.Equal(5, _model.UserEncodings);
        (await RankAsync("c")).Dispose();
        Assert.Equal(5, _model.UserEncodings);
    }

    [Fact]
    public async Task Encoding_does_not_outlive_its_bundle_and_come_back_when_that_is_activated_again()
    {
        await StartAsync(("a", 1), ("b", 2), ("c", 3));
        await ActivateAsync(2, 3, 1);
        await ClickAsync("u", "a");
        (await RankAsync("c")).Dispose();

        // Every activation feeds a new catalogue in the same way, so a count of its own would be where that of the first one was.
        await ActivateAsync(2, 3);
        await _writer.UpsertAsync([Item("a", 9)], CancellationToken.None);
        var again = Assert.Single(await ActivateAsync(1));
        var warm = again.UserEncodings;
        (await RankAsync("c")).Dispose();

        Assert.Equal(warm + 1, again.UserEncodings);

        async Task<FakeModel[]> ActivateAsync(params int[] numbers)
        {
            FakeModel[] models = [.. numbers.Select(number => new FakeModel(number))];
            foreach (var model in models)
            {
                _bundles.Add(model);
                await _models.ActivateAsync(model.Layout.Version, new JobProgress(), CancellationToken.None);
            }

            return models;
        }
    }

    [Fact]
    public async Task Model_has_ranked_once_before_it_answers()
    {
        await StartAsync(("a", 1), ("b", 2));
        var answering = new List<string?>();
        var second = new FakeModel(2) { OnScore = (_, _, count) => answering.Add($"{_models.Status.Active} {count}") };
        _bundles.Add(second);
        await _models.ActivateAsync("bundle-2", new JobProgress(), CancellationToken.None);
        Assert.Equal(["bundle-1 2"], answering);

        var ready = new List<bool>();
        await using var restarted = new ModelDirectory(_bundles, _engine, _engine, new());
        _ = new RankingPipeline(restarted, _engine, _clock);
        second.OnScore = (_, _, _) => ready.Add(restarted.Status.Ready);
        await restarted.StartAsync(new JobProgress(), CancellationToken.None);
        Assert.Equal([false], ready);
        Assert.True(restarted.Status.Ready);
    }

    [Fact]
    public void Encoding_that_no_catalogue_has_vouched_for_is_of_no_epoch()
    {
        var encoding = new UserEncoding("bundle-1", 1, [], []);
        Assert.NotEqual(new Core.Catalog.ItemCatalog(FakeModel.LayoutOf("bundle-1"), Core.Catalog.RowPrecision.Single).RowsEpoch, encoding.RowsEpoch);
        Assert.NotEqual(Core.Catalog.ItemCatalog.OfCounters().RowsEpoch, encoding.RowsEpoch);
    }

    [Fact]
    public async Task Changes_that_leave_the_history_as_it_was_encode_nobody_again()
    {
        await StartAsync(("a", 1), ("b", 2), ("c", 3));
        await ClickAsync("u", "a");
        (await RankAsync("c")).Dispose();
        using var lease = _models.Lease();
        var epoch = lease.Catalog.RowsEpoch;

        await _writer.UpsertAsync([Item("new", 4)], CancellationToken.None);
        await ClickAsync("other", "a");
        await _engine.SetRepresentationsAsync([new("b", new("bundle-2", [0, 0, 0, 0], RepresentationSource.Computed), null)], CancellationToken.None);
        Assert.Equal(epoch, lease.Catalog.RowsEpoch);
        await _writer.UpsertAsync([Item("b", 9)], CancellationToken.None);
        await _engine.DeleteAsync(["c"], CancellationToken.None);
        Assert.NotEqual(epoch, lease.Catalog.RowsEpoch);

        (await RankAsync("b")).Dispose();
        Assert.Equal(1, _model.UserEncodings);
    }

    [Fact]
    public async Task User_who_was_erased_and_came_back_does_not_share_the_encoding_of_the_one_before()
    {
        await StartAsync(("a", 1), ("b", 2));
        await ClickAsync("u", "a");
        var gate = new TaskCompletionSource();
        _model.UserGate = gate.Task;
        var before = RankAsync("a").AsTask();
        await _engine.EraseAsync("u", CancellationToken.None);
        await ClickAsync("u", "b");
        var after = RankAsync("a").AsTask();
        gate.SetResult();

        (await before).Dispose();
        (await after).Dispose();
        Assert.Equal(2, _model.UserEncodings);
    }

    [Fact]
    public async Task Slow_read_of_the_user_is_answered_by_the_fallback_at_the_deadline()
    {
        await StartAsync(("a", 1));
        var gate = new TaskCompletionSource();
        _engine.UserGate = gate.Task;

        using var ranking = await RankAsync(new RankRequest { Deadline = Deadline.After(TimeSpan.FromMilliseconds(1), _clock) }, "a");

        Assert.Equal((RankingMode.Fallback, FallbackReason.DeadlineExceeded), (ranking.Mode, ranking.Reason));
        gate.SetResult();
    }

    [Fact]
    public async Task Ranking_that_waited_for_the_user_or_the_encoder_goes_on_on_a_lane()
    {
        await StartAsync(("a", 1));
        await ClickAsync("u", "a");
        using var lanes = new RankLanes(1, new RankingDemand(), TimeProvider.System);
        var pipeline = new RankingPipeline(_models, _engine, _clock, lanes: lanes);
        var threads = new List<string?>();
        _model.OnScore = (_, _, _) => threads.Add(Thread.CurrentThread.Name);

        // As when a grain answers, or the thread that encoded goes on with those that wait for it.
        var (user, encoder) = (new TaskCompletionSource(), new TaskCompletionSource());
        _engine.UserGate = user.Task;
        var ranking = RankAsync(pipeline, new RankRequest(), "a").AsTask();
        user.SetResult();
        (await ranking).Dispose();

        await ClickAsync("u", "a");
        (_engine.UserGate, _model.UserGate) = (Task.CompletedTask, encoder.Task);
        ranking = RankAsync(pipeline, new RankRequest(), "a").AsTask();
        encoder.SetResult();
        (await ranking).Dispose();

        // What is at hand changes no thread.
        (await RankAsync(pipeline, new RankRequest(), "a")).Dispose();
        Assert.Equal(["rank 0", "rank 0", Thread.CurrentThread.Name], threads);
    }

    [Fact]
    public async Task User_who_comes_while_rows_are_gathered_is_not_waited_for()
    {
        await StartAsync(("a", 1));
        using var lanes = new RankLanes(1, new RankingDemand(), TimeProvider.System);
        var user = new TaskCompletionSource();
        _engine.UserGate = user.Task;
        string? scoredOn = null;
        _model.OnScore = (_, _, _) => scoredOn = Thread.CurrentThread.Name;
        var ranking = RankAsync(new(_models, _engine, _clock, new MissingThenTold(user), lanes), new RankRequest(), "a", "nobody knows it");

        Assert.True(ranking.IsCompleted);
        (await ranking).Dispose();
        Assert.Equal(Thread.CurrentThread.Name, scoredOn);
    }

    [Fact]
    public async Task Waiting_for_a_thread_is_a_stage_of_its_own()
    {
        await StartAsync(("a", 1));
        using var lane = new HeldLane();
        var user = new TaskCompletionSource();
        _engine.UserGate = user.Task;
        var ranking = RankAsync(new(_models, _engine, _clock, lanes: lane.Lanes), new RankRequest { Waited = TimeSpan.FromMilliseconds(7) }, "a").AsTask();
        _clock.Advance(TimeSpan.FromMilliseconds(20));
        user.SetResult();
        lane.WaitUntilOneWaits();
        _clock.Advance(TimeSpan.FromMilliseconds(300));
        lane.Release();

        using var answer = await ranking;
        Assert.Equal(RankingMode.Model, answer.Mode);
        var times = answer.Times;
        Assert.Equal([307, 20, 0, 0, 327, 0], new[] { times.Wait, times.UserRead, times.Gather, times.Run, times.Total, times.SessionWait }.Select(time => time.TotalMilliseconds));
    }

    [Fact]
    public async Task Ranking_whose_turn_comes_too_late_is_answered_by_the_fallback()
    {
        await StartAsync(("a", 1));
        using var lane = new HeldLane();
        var user = new TaskCompletionSource();
        _engine.UserGate = user.Task;
        var request = new RankRequest { Deadline = Deadline.After(TimeSpan.FromMilliseconds(200), TimeProvider.System) };
        var ranking = RankAsync(new(_models, _engine, TimeProvider.System, lanes: lane.Lanes), request, "a").AsTask();
        user.SetResult();

        using var answer = await ranking.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal((RankingMode.Fallback, FallbackReason.DeadlineExceeded), (answer.Mode, answer.Reason));
    }

    [Fact]
    public async Task Rankings_of_one_user_that_come_together_share_one_encoding()
    {
        await StartAsync(("a", 1));
        await ClickAsync("u", "a");
        var gate = new TaskCompletionSource();
        _model.UserGate = gate.Task;

        var rankings = Enumerable.Range(0, 20).Select(_ => RankAsync("a").AsTask()).ToArray();
        gate.SetResult();

        foreach (var ranking in await Task.WhenAll(rankings))
        {
            ranking.Dispose();
        }

        Assert.Equal(1, _model.UserEncodings);
    }

    [Fact]
    public async Task Strangers_share_one_encoding_but_users_that_training_knew_have_their_own()
    {
        await StartAsync(("a", 1));
        foreach (var user in (string[])["s1", "s2", "s3"])
        {
            (await RankAsync(new RankRequest { User = user }, "a")).Dispose();
        }

        Assert.Equal(1, _model.UserEncodings);
        (await RankAsync(new RankRequest { User = "trained user" }, "a")).Dispose();
        Assert.Equal(2, _model.UserEncodings);
        Assert.False(_model.Mixed);
    }

    [Fact]
    public async Task Caller_that_gives_up_does_not_take_the_encoding_from_the_others()
    {
        await StartAsync(("a", 1));
        await ClickAsync("u", "a");
        var gate = new TaskCompletionSource();
        _model.UserGate = gate.Task;
        using var impatience = new CancellationTokenSource();

        var impatient = RankAsync(new RankRequest(), impatience.Token, "a").AsTask();
        var patient = RankAsync("a").AsTask();
        await impatience.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => impatient);
        gate.SetResult();

        using var ranking = await patient;
        Assert.Equal(RankingMode.Model, ranking.Mode);
    }

    [Fact]
    public async Task Without_a_bundle_the_fallback_answers_by_smoothed_rate_then_the_newest_first()
    {
        await _models.StartAsync(new(), CancellationToken.None);
        await _writer.UpsertAsync([Item("old", 0), Item("new", 0), Item("loved", 0), Item("shunned", 0), Item("unseen", 0)], CancellationToken.None);
        await ImpressAsync("old", times: 20, clicks: 1, at: 1_000);
        await ImpressAsync("new", times: 20, clicks: 1, at: 2_000);
        await ImpressAsync("loved", times: 20, clicks: 15, at: 500);
        await ImpressAsync("shunned", times: 200, clicks: 0, at: 9_000);

        using var ranking = await RankAsync("shunned", "old", "nobody", "new", "unseen", "loved");

        Assert.Equal((RankingMode.Fallback, FallbackReason.NoModel, null), (ranking.Mode, ranking.Reason, ranking.Model));
        Assert.Equal(["loved", "unseen", "new", "old", "shunned"], Names(ranking, "shunned", "old", "nobody", "new", "unseen", "loved"));
        Assert.Equal([2], ranking.Unknown.ToArray());
        Assert.Equal((15 + 1) / 40f, ranking.Items[0].Score);

        using var first = await RankAsync(new RankRequest { Limit = 2 }, "shunned", "old", "nobody", "new", "unseen", "loved");
        Assert.Equal(ranking.Items[..2].ToArray(), first.Items.ToArray());
    }

    [Theory]
    [InlineData(ScoringRejection.Overloaded, FallbackReason.Overloaded)]
    [InlineData(ScoringRejection.DeadlineExceeded, FallbackReason.DeadlineExceeded)]
    public async Task Rejected_request_is_answered_by_the_fallback_with_the_reason(ScoringRejection rejection, FallbackReason reason)
    {
        await StartAsync(("a", 9), ("b", 1));
        await ImpressAsync("b", times: 4, clicks: 4, at: 1);
        _model.Rejects = rejection;

        using var ranking = await RankAsync("a", "b");

        Assert.Equal((RankingMode.Fallback, reason, "bundle-1"), (ranking.Mode, ranking.Reason, ranking.Model));
        Assert.Equal(["b", "a"], Names(ranking, "a", "b"));
        Assert.Equal((float)((4 + 5) / 14.0), ranking.Items[0].Score);
    }

    [Fact]
    public async Task User_that_cannot_be_read_is_answered_by_the_fallback()
    {
        await StartAsync(("a", 1));
        _engine.UserGate = Task.FromException(new StorageException(StorageException.Unavailable, "no silo holds users"));

        using var ranking = await RankAsync("a");

        Assert.Equal((RankingMode.Fallback, FallbackReason.UserUnavailable), (ranking.Mode, ranking.Reason));
    }

    [Fact]
    public async Task Passed_deadline_is_answered_by_the_fallback_without_asking_the_model()
    {
        await StartAsync(("a", 1));
        var deadline = Deadline.After(TimeSpan.FromMilliseconds(10), _clock);
        _clock.Advance(TimeSpan.FromMilliseconds(11));
        _model.OnScore = (_, _, _) => Assert.Fail("The model was asked.");

        using var ranking = await RankAsync(new RankRequest { Deadline = deadline }, "a");

        Assert.Equal(FallbackReason.DeadlineExceeded, ranking.Reason);
        Assert.Equal(0, _model.UserEncodings);
    }

    [Fact]
    public async Task Bundle_that_is_not_loaded_is_refused_by_name()
    {
        await StartAsync(("a", 1));
        var refusal = await Assert.ThrowsAsync<BundleRefusedException>(() => RankAsync(new RankRequest { Model = "bundle-9" }, "a").AsTask());
        Assert.Equal("bundle_unknown", refusal.Code);
    }

    [Fact]
    public async Task Disposing_a_ranking_twice_lends_its_buffers_once()
    {
        await StartAsync(("a", 1));
        var ranking = await RankAsync("a");
        ranking.Dispose();
        ranking.Dispose();

        using var one = await RankAsync("a");
        using var other = await RankAsync("a");
        Assert.NotSame(one, other);
    }

    public async ValueTask DisposeAsync() => await _models.DisposeAsync();

    private static ItemWrite Item(string id, int number) => new(id, new ItemContent { Title = $"{number}" });

    private static string[] Names(Core.Ranking.Ranking ranking, params string[] candidates) =>
        [.. ranking.Items.ToArray().Select(item => candidates[item.Candidate])];

    private async Task StartAsync(params (string Id, int Number)[] items)
    {
        await _models.StartAsync(new JobProgress(), CancellationToken.None);
        await _models.ActivateAsync("bundle-1", new JobProgress(), CancellationToken.None);
        var receipt = await _writer.UpsertAsync([.. items.Select(item => Item(item.Id, item.Number))], CancellationToken.None);
        Assert.Empty(receipt.Rejected);
    }

    private ValueTask<Core.Ranking.Ranking> RankAsync(params string[] candidates) => RankAsync(new RankRequest(), candidates);

    private ValueTask<Core.Ranking.Ranking> RankAsync(RankRequest request, params string[] candidates) =>
        RankAsync(request, CancellationToken.None, candidates);

    private ValueTask<Core.Ranking.Ranking> RankAsync(RankRequest request, CancellationToken cancellation, params string[] candidates) =>
        RankAsync(_pipeline, request, candidates, cancellation);

    private static ValueTask<Core.Ranking.Ranking> RankAsync(RankingPipeline pipeline, RankRequest request, params string[] candidates) =>
        RankAsync(pipeline, request, candidates, CancellationToken.None);

    private static ValueTask<Core.Ranking.Ranking> RankAsync(RankingPipeline pipeline, RankRequest request, string[] candidates, CancellationToken cancellation)
    {
        request.User = request.User.Length == 0 ? "u" : request.User;
        Array.ForEach(candidates, id => request.Candidates.Add(Encoding.UTF8.GetBytes(id)));
        return pipeline.RankAsync(request, cancellation);
    }

    private async Task ClickAsync(string user, string item) =>
        await _engine.AppendAsync([new($"{Guid.NewGuid()}", "click", user, item, _clock.GetUtcNow().ToUnixTimeMilliseconds(), null)], CancellationToken.None);

    private async Task ImpressAsync(string item, int times, int clicks, long at)
    {
        for (var i = 0; i < times; i++)
        {
            await _engine.AppendAsync([new($"{item} {i}", "impression", "other", item, at, null)], CancellationToken.None);
        }

        for (var i = 0; i < clicks; i++)
        {
            await _engine.AppendAsync([new($"{item} click {i}", "click", "other", item, at, null)], CancellationToken.None);
        }
    }

    /// <summary>Has no item, but lets the user come while it looks.</summary>
    private sealed class MissingThenTold(TaskCompletionSource user) : IMissingItems
    {
        public ValueTask<bool> BringAsync(IReadOnlyList<string> ids, CancellationToken cancellation)
        {
            user.SetResult();
            return new(false);
        }
    }

    /// <summary>A lane that something else is at work on.</summary>
    private sealed class HeldLane : IDisposable
    {
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

        private readonly RankingDemand _demand = new();
        private readonly SemaphoreSlim _let = new(0);

        public HeldLane()
        {
            Lanes = new(1, _demand, TimeProvider.System);
            var begun = new TaskCompletionSource();
            _ = HoldAsync(begun);
            Assert.True(begun.Task.Wait(Patience));
        }

        public RankLanes Lanes { get; }

        public void WaitUntilOneWaits() => Assert.True(SpinWait.SpinUntil(() => _demand.Waiting == 1, Patience));

        public void Release() => _let.Release();

        public void Dispose()
        {
            Release();
            Lanes.Dispose();
        }

        private async Task HoldAsync(TaskCompletionSource begun)
        {
            await Lanes.TakeTurn(Deadline.None);
            begun.SetResult();
            _let.Wait(Patience);
        }
    }
}
