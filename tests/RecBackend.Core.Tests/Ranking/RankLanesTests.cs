using System.Collections.Concurrent;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;

namespace RecBackend.Core.Tests.Ranking;

/// <summary>The threads that rankings run on.</summary>
public sealed class RankLanesTests : IDisposable
{
    private const int Lanes = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly RankingDemand _demand = new();
    private readonly RankLanes _lanes;
    private readonly SemaphoreSlim _begun = new(0);
    private readonly SemaphoreSlim _let = new(0);

    public RankLanesTests() => _lanes = new(Lanes, _demand, TimeProvider.System);

    public void Dispose()
    {
        _let.Release(1_000);
        _lanes.Dispose();
    }

    [Fact]
    public async Task Ranking_runs_on_a_lane_and_not_on_the_pool()
    {
        Assert.StartsWith("rank ", await ThreadOfAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rankings_begin_in_the_order_in_which_they_came_as_many_at_once_as_there_are_lanes()
    {
        var order = new ConcurrentQueue<int>();
        var rankings = new List<Task>();
        for (var i = 0; i < 50; i++)
        {
            var number = i;
            rankings.Add(HoldAsync(Deadline.None, () => order.Enqueue(number)));
            if (i < Lanes)
            {
                // Two that wait for nobody begin at once; here one after the other.
                Assert.True(await _begun.WaitAsync(Patience));
            }
        }

        Assert.Equal(Lanes, order.Count);
        for (var i = Lanes; i < rankings.Count; i++)
        {
            _let.Release();
            Assert.True(await _begun.WaitAsync(Patience));
            Assert.Equal(i + 1, order.Count);
        }

        Assert.Equal(Enumerable.Range(0, rankings.Count), order);
        _let.Release(Lanes);
        await Task.WhenAll(rankings).WaitAsync(Patience);
    }

    [Fact]
    public async Task Lane_that_rests_since_last_is_the_first_to_work_again()
    {
        using var lanes = new RankLanes(8, new RankingDemand(), TimeProvider.System);
        var threads = new List<string>();
        for (var i = 0; i < 40; i++)
        {
            await lanes.TakeTurn(Deadline.None);
            threads.Add(Thread.CurrentThread.Name!);

            // The test goes on on the lane itself, and leaves it so that it rests.
            await Task.Delay(5);
        }

        // In turn they would be five each.
        Assert.InRange(threads.CountBy(name => name).Max(lane => lane.Value), 20, 40);
    }

    [Fact]
    public async Task Ranking_that_had_a_turn_comes_before_those_that_have_not_begun()
    {
        var held = await HoldAllAsync();
        var order = new ConcurrentQueue<string>();
        Task[] waiting = [NameAsync("first", _lanes.TakeTurn(Deadline.None)), NameAsync("begun", _lanes.TakeTurnAgain(Deadline.None)), NameAsync("begun too", _lanes.TakeTurnAgain(Deadline.None))];
        Assert.Equal(3, _demand.Waiting);

        // One lane, so that what it runs is in an order.
        _let.Release();
        await Task.WhenAll(waiting).WaitAsync(Patience);
        Assert.Equal(["begun", "begun too", "first"], order);
        Assert.Equal(0, _demand.Waiting);
        _let.Release(Lanes);
        await held.WaitAsync(Patience);

        async Task NameAsync(string name, RankLanes.Turn turn)
        {
            await turn;
            order.Enqueue(name);
        }
    }

    [Fact]
    public async Task Ranking_that_had_a_turn_and_waits_for_another_is_let_go_at_its_deadline()
    {
        var held = await HoldAllAsync();
        var late = LateAsync();
        Assert.False((await late.WaitAsync(Patience)).StartsWith("rank ", StringComparison.Ordinal));
        Assert.Equal(0, _demand.Waiting);
        _let.Release(Lanes);
        await held.WaitAsync(Patience);

        async Task<string> LateAsync()
        {
            await _lanes.TakeTurnAgain(Deadline.After(TimeSpan.FromMilliseconds(20), TimeProvider.System));
            return Thread.CurrentThread.Name ?? "";
        }
    }

    [Fact]
    public async Task Waiting_ranking_goes_on_elsewhere_when_its_deadline_passes_and_those_behind_keep_their_turns()
    {
        var held = await HoldAllAsync();
        var order = new ConcurrentQueue<string>();
        var first = NameAsync("first", Deadline.None);
        var late = NameAsync("late", Deadline.After(TimeSpan.FromMilliseconds(20), TimeProvider.System));
        var last = NameAsync("last", Deadline.None);

        Assert.False((await late.WaitAsync(Patience)).StartsWith("rank ", StringComparison.Ordinal));
        Assert.False(first.IsCompleted);

        _let.Release();
        await Task.WhenAll(first, last).WaitAsync(Patience);
        Assert.Equal(["late", "first", "last"], order);
        _let.Release(Lanes);
        await held.WaitAsync(Patience);

        async Task<string> NameAsync(string name, Deadline deadline)
        {
            await _lanes.TakeTurn(deadline);
            order.Enqueue(name);
            return Thread.CurrentThread.Name ?? "";
        }
    }

    [Fact]
    public async Task Waiting_ranking_whose_caller_gives_up_leaves_the_queue()
    {
        var held = await HoldAllAsync();
        using var caller = new CancellationTokenSource();
        var given = GoOnAsync();
        await caller.CancelAsync();

        Assert.False((await given.WaitAsync(Patience)).StartsWith("rank ", StringComparison.Ordinal));
        Assert.Equal(0, _demand.Waiting);
        _let.Release(Lanes);
        await held.WaitAsync(Patience);

        async Task<string> GoOnAsync()
        {
            await _lanes.TakeTurn(Deadline.None, caller.Token);
            return Thread.CurrentThread.Name ?? "";
        }
    }

    [Fact]
    public async Task Ranking_of_a_burst_that_waits_is_let_go_at_its_deadline_though_nothing_comes_after_it()
    {
        var deadline = Deadline.After(TimeSpan.FromMilliseconds(20), TimeProvider.System);
        var burst = Enumerable.Range(0, Lanes).Select(_ => HoldAsync(Deadline.None, () => { })).ToList();
        var late = LateAsync();

        Assert.False((await late.WaitAsync(Patience)).StartsWith("rank ", StringComparison.Ordinal));
        _let.Release(Lanes);
        await Task.WhenAll(burst).WaitAsync(Patience);

        async Task<string> LateAsync()
        {
            await _lanes.TakeTurn(deadline);
            return Thread.CurrentThread.Name ?? "";
        }
    }

    [Fact]
    public async Task Expected_wait_is_none_while_a_lane_rests_and_grows_with_those_that_wait()
    {
        // A mean that is known: of rankings that take at least so long.
        for (var i = 0; i < 100; i++)
        {
            await ThreadOfAsync(() => Thread.Sleep(1));
        }

        // The last one's caller goes on before its lane is counted as free.
        Assert.True(SpinWait.SpinUntil(() => _lanes.ExpectedWait == TimeSpan.Zero, Patience));
        var held = await HoldAllAsync();
        var one = _lanes.ExpectedWait;
        Assert.True(one > TimeSpan.FromMilliseconds(0.4), $"with all lanes at work it is {one}");

        var waiting = Enumerable.Range(0, 6).Select(_ => ThreadOfAsync()).ToArray();
        Assert.Equal(7 * one.TotalSeconds, _lanes.ExpectedWait.TotalSeconds, 5);
        Assert.Equal(6, _demand.Waiting);
        _let.Release(Lanes);
        await Task.WhenAll([held, .. waiting]).WaitAsync(Patience);
        Assert.Equal(0, _demand.Waiting);
    }

    [Fact]
    public async Task What_waits_when_the_host_ends_is_still_run_and_what_comes_later_is_not_lost()
    {
        var held = await HoldAllAsync();
        var waiting = ThreadOfAsync();
        _lanes.Dispose();
        var later = ThreadOfAsync();

        Assert.False((await later.WaitAsync(Patience)).StartsWith("rank ", StringComparison.Ordinal));
        _let.Release(Lanes);
        Assert.StartsWith("rank ", await waiting.WaitAsync(Patience), StringComparison.Ordinal);
        await held.WaitAsync(Patience);
    }

    private async Task<string> ThreadOfAsync(Action? work = null)
    {
        await _lanes.TakeTurn(Deadline.None);
        work?.Invoke();
        return Thread.CurrentThread.Name ?? "";
    }

    private async Task HoldAsync(Deadline deadline, Action begin)
    {
        await _lanes.TakeTurn(deadline);
        begin();
        _begun.Release();
        _let.Wait(Patience);
    }

    /// <summary>Has all lanes at work, until as many are let go.</summary>
    private async Task<Task> HoldAllAsync()
    {
        var held = Task.WhenAll(Enumerable.Range(0, Lanes).Select(_ => HoldAsync(Deadline.None, () => { })));
        for (var lane = 0; lane < Lanes; lane++)
        {
            Assert.True(await _begun.WaitAsync(Patience));
        }

        return held;
    }
}
