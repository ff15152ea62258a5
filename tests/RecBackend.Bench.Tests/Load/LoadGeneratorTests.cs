using System.Diagnostics;
using RecBackend.Bench.Load;

namespace RecBackend.Bench.Tests.Load;

[CollectionDefinition(nameof(LoadGeneratorTests), DisableParallelization = true)]
public class AloneCollection;

/// <summary>On a clock that only sleeps and answers move, so that every latency is known to the tick. By itself, since one test counts what the thread pool does.</summary>
[Collection(nameof(LoadGeneratorTests))]
public class LoadGeneratorTests
{
    private static readonly long Millisecond = Stopwatch.Frequency / 1_000;
    private static readonly TimeSpan Patience = TimeSpan.FromHours(1);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    // One arrival each millisecond.
    private static readonly long[] Schedule = [.. Enumerable.Range(0, 100).Select(i => i * Millisecond)];

    [Fact]
    public async Task Arrivals_are_issued_on_schedule_though_nothing_is_answered()
    {
        var clock = new StepClock();
        using var server = new HeldServer(clock);
        var allIssued = new TaskCompletionSource();
        var run = new LoadGenerator(clock, server, inFlight: 2, Patience).RunAsync(Schedule, Signal(allIssued), CancellationToken.None);

        await allIssued.Task.WaitAsync(Limit);
        Assert.Equal(0, server.Answered);
        server.Open(0);
        var log = await run.WaitAsync(Limit);

        Assert.All(Enumerable.Range(0, Schedule.Length), i => Assert.Equal(log[i].Scheduled, log[i].Issued));
    }

    [Fact]
    public async Task Latency_counts_from_the_scheduled_arrival_and_holds_the_wait_for_a_connection()
    {
        var clock = new StepClock();
        using var server = new HeldServer(clock);
        var allIssued = new TaskCompletionSource();
        var run = new LoadGenerator(clock, server, inFlight: 1, Patience).RunAsync(Schedule, Signal(allIssued), CancellationToken.None);

        // The first answer comes after the last arrival, and each takes ten milliseconds on the one connection.
        await allIssued.Task.WaitAsync(Limit);
        var opened = clock.Now;
        server.Open(10 * Millisecond);
        var log = await run.WaitAsync(Limit);

        for (var i = 0; i < Schedule.Length; i++)
        {
            Assert.Equal(opened + ((i + 1) * 10 * Millisecond), log[i].Ended);
        }

        // From its arrival at 99 ms to 99 ms + 100 answers of 10 ms, though its own answer took 10 ms.
        var figures = log.Figures(TimeSpan.Zero, TimeSpan.FromSeconds(10));
        Assert.Equal(1_000_000, figures.Model!.Max, 1e-3);
        Assert.Equal(990_000, figures.ClientWait!.Max, 1e-3);
        Assert.Equal(0, figures.IssuedLate!.Max);
    }

    [Fact]
    public async Task Arrivals_beyond_the_connections_wait_in_the_client_and_are_counted()
    {
        var clock = new StepClock();
        using var server = new HeldServer(clock);
        var allIssued = new TaskCompletionSource();
        var run = new LoadGenerator(clock, server, inFlight: 3, Patience).RunAsync(Schedule, Signal(allIssued), CancellationToken.None);

        await allIssued.Task.WaitAsync(Limit);
        for (var i = 0; i < 3; i++)
        {
            Assert.True(await server.Entered.WaitAsync(Limit));
        }

        server.Open(0);
        var log = await run.WaitAsync(Limit);

        Assert.Equal(3, server.MostAtOnce);
        Assert.Equal(Schedule.Length - 3, log.Figures(TimeSpan.Zero, TimeSpan.FromSeconds(1)).FoundNoConnection);
        Assert.All(Enumerable.Range(0, 3), i => Assert.False(log[i].FoundNoConnection));
    }

    [Fact]
    public async Task Arrival_that_waited_for_a_connection_beyond_its_patience_is_given_up_unsent()
    {
        var clock = new StepClock();
        using var server = new HeldServer(clock);
        var allIssued = new TaskCompletionSource();
        var patience = TimeSpan.FromMinutes(1);
        var run = new LoadGenerator(clock, server, inFlight: 1, patience).RunAsync([0, Millisecond], Signal(allIssued, arrivals: 2), CancellationToken.None);

        await allIssued.Task.WaitAsync(Limit);
        server.Open((long)(2 * patience.TotalSeconds * Stopwatch.Frequency));
        var log = await run.WaitAsync(Limit);

        Assert.Equal(1, server.Answered);
        Assert.Equal(Outcome.Unsent, log[1].Outcome);
        Assert.True(log[1].Ended - log[1].Scheduled >= patience.TotalSeconds * Stopwatch.Frequency);
    }

    [Fact]
    public async Task Run_fails_with_what_stopped_the_schedule()
    {
        var clock = new StepClock();
        using var server = new HeldServer(clock);
        server.Open(0);
        var run = new LoadGenerator(clock, server, inFlight: 2, Patience).RunAsync(Schedule, _ => throw new FormatException("of the caller"), CancellationToken.None);

        var thrown = await Assert.ThrowsAsync<FormatException>(() => run.WaitAsync(Limit));
        Assert.Equal("of the caller", thrown.Message);
    }

    [Fact]
    public async Task Late_generator_shows_in_the_latency_and_beside_it()
    {
        // Each sleep oversleeps by 3 ms.
        var clock = new StepClock { Oversleeps = 3 * Millisecond };
        using var server = new HeldServer(clock);
        server.Open(0);
        var log = await new LoadGenerator(clock, server, inFlight: 4, Patience).RunAsync([10 * Millisecond], issued: null, CancellationToken.None).WaitAsync(Limit);
        var figures = log.Figures(TimeSpan.Zero, TimeSpan.FromSeconds(1));

        Assert.Equal(3_000, figures.IssuedLate!.Max, 1e-3);
        Assert.Equal(3_000, figures.Model!.Max, 1e-3);
    }

    [Fact]
    public async Task Arrival_wakes_one_sender_and_not_all_who_are_idle()
    {
        const int senders = 64;

        // Each arrival comes when all whom the one before has woken are idle again.
        var clock = new StepClock { BeforeSleep = () => Thread.Sleep(1) };
        using var server = new HeldServer(clock);
        server.Open(0);
        var before = ThreadPool.CompletedWorkItemCount;
        await new LoadGenerator(clock, server, senders, Patience).RunAsync(Schedule, issued: null, CancellationToken.None).WaitAsync(Limit);

        // Some three for each arrival and one for each sender at the end. Were all woken by each arrival, it would be more than 6,400.
        Assert.InRange(ThreadPool.CompletedWorkItemCount - before, Schedule.Length, Schedule.Length * senders / 4);
    }

    private static Action<int> Signal(TaskCompletionSource allIssued, int? arrivals = null) => arrival =>
    {
        if (arrival == (arrivals ?? Schedule.Length) - 1)
        {
            // Not on this thread: who waits for it would run on the thread that issues.
            _ = Task.Run(allIssued.SetResult);
        }
    };

    /// <summary>A clock that stands still between sleeps and answers.</summary>
    private sealed class StepClock : ArrivalClock
    {
        private long _now = 1_000_000;

        public long Oversleeps { get; init; }

        public Action? BeforeSleep { get; init; }

        public override long Now => Interlocked.Read(ref _now);

        public void Pass(long ticks) => Interlocked.Add(ref _now, ticks);

        public override void SleepUntil(long moment)
        {
            BeforeSleep?.Invoke();
            if (moment > Now)
            {
                Interlocked.Exchange(ref _now, moment + Oversleeps);
            }
        }
    }

    /// <summary>Answers nothing until it is opened; then each answer takes its time.</summary>
    private sealed class HeldServer(StepClock clock) : IExchange
    {
        private readonly TaskCompletionSource<long> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Lock _lock = new();
        private int _now;
        private int _answered;

        public int Answered => _answered;

        public int MostAtOnce { get; private set; }

        public SemaphoreSlim Entered { get; } = new(0);

        public void Open(long takes) => _opened.SetResult(takes);

        public void Dispose() => Entered.Dispose();

        public async Task<Outcome> SendAsync(int arrival, CancellationToken giveUp)
        {
            lock (_lock)
            {
                MostAtOnce = Math.Max(MostAtOnce, ++_now);
            }

            Entered.Release();

            clock.Pass(await _opened.Task.WaitAsync(giveUp));
            lock (_lock)
            {
                _now--;
                _answered++;
            }

            return Outcome.Model;
        }
    }
}
