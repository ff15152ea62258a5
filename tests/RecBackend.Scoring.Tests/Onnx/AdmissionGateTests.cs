using RecBackend.Core.Models;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Tests.Onnx;

public sealed class AdmissionGateTests : IDisposable
{
    private readonly FakeClock _clock = new();
    private readonly ScoringMetrics _metrics = new();

    public void Dispose() => _metrics.Dispose();

    [Fact]
    public async Task Waiters_are_admitted_in_the_order_in_which_they_came()
    {
        var gate = Gate(concurrency: 1, queue: 10);
        await gate.EnterAsync(Deadline.None, default);
        var waiters = Enumerable.Range(0, 5).Select(_ => gate.EnterAsync(Deadline.None, default).AsTask()).ToList();

        foreach (var waiter in waiters)
        {
            Assert.False(waiter.IsCompleted);
            gate.Leave();
            await waiter;
        }

        gate.Leave();
        Assert.Equal((1, 0), (gate.Free, gate.Waiting));
    }

    [Fact]
    public async Task Full_queue_rejects_at_once_as_overload()
    {
        var gate = Gate(concurrency: 1, queue: 1);
        await gate.EnterAsync(Deadline.None, default);
        var waiter = gate.EnterAsync(Deadline.None, default).AsTask();

        var rejected = gate.EnterAsync(Deadline.None, default);

        Assert.True(rejected.IsCompleted);
        Assert.Equal(ScoringRejection.Overloaded, (await Assert.ThrowsAsync<ScoringRejectedException>(rejected.AsTask)).Reason);
        gate.Leave();
        await waiter;
    }

    [Fact]
    public async Task Waiter_is_rejected_when_its_deadline_passes_and_not_before()
    {
        var gate = Gate(concurrency: 1, queue: 10);
        await gate.EnterAsync(Deadline.None, default);
        var waiter = gate.EnterAsync(Deadline.After(TimeSpan.FromMilliseconds(20), _clock), default).AsTask();

        _clock.Advance(TimeSpan.FromMilliseconds(19));
        Assert.False(waiter.IsCompleted);
        Assert.Equal(1, gate.Waiting);
        _clock.Advance(TimeSpan.FromMilliseconds(1));

        Assert.Equal(ScoringRejection.DeadlineExceeded, (await Assert.ThrowsAsync<ScoringRejectedException>(() => waiter)).Reason);
        Assert.Equal(0, gate.Waiting);
        gate.Leave();
        Assert.Equal(1, gate.Free);
    }

    [Fact]
    public async Task Deadline_in_the_past_is_rejected_even_with_a_free_place()
    {
        var gate = Gate(concurrency: 1, queue: 10);
        var deadline = Deadline.After(TimeSpan.FromMilliseconds(1), _clock);
        _clock.Advance(TimeSpan.FromMilliseconds(1));

        var rejection = await Assert.ThrowsAsync<ScoringRejectedException>(() => gate.EnterAsync(deadline, default).AsTask());

        Assert.Equal(ScoringRejection.DeadlineExceeded, rejection.Reason);
        Assert.Equal(1, gate.Free);
    }

    [Fact]
    public async Task Place_won_after_the_deadline_is_given_back()
    {
        var late = new LateTimerClock();
        var gate = new AdmissionGate("rank", 1, 10, late, _metrics);
        await gate.EnterAsync(Deadline.None, default);
        var waiter = gate.EnterAsync(Deadline.After(TimeSpan.FromMilliseconds(20), late), default).AsTask();

        late.Advance(TimeSpan.FromMilliseconds(20));
        gate.Leave();

        Assert.Equal(ScoringRejection.DeadlineExceeded, (await Assert.ThrowsAsync<ScoringRejectedException>(() => waiter)).Reason);
        Assert.Equal((1, 0), (gate.Free, gate.Waiting));
    }

    [Fact]
    public async Task Deadline_that_the_queue_cannot_make_is_rejected_at_once()
    {
        var gate = Gate(concurrency: 1, queue: 100);
        for (var run = 0; run < 200; run++)
        {
            await gate.EnterAsync(Deadline.None, default);
            gate.Leave(ran: TimeSpan.FromMilliseconds(10));
        }

        await gate.EnterAsync(Deadline.None, default);
        var first = gate.EnterAsync(Deadline.None, default).AsTask();
        var second = gate.EnterAsync(Deadline.None, default).AsTask();

        // Two wait, so that a third has 30 ms before it.
        var tooLate = gate.EnterAsync(Deadline.After(TimeSpan.FromMilliseconds(29), _clock), default);
        var inTime = gate.EnterAsync(Deadline.After(TimeSpan.FromMilliseconds(31), _clock), default).AsTask();

        Assert.True(tooLate.IsCompleted);
        Assert.Equal(ScoringRejection.DeadlineExceeded, (await Assert.ThrowsAsync<ScoringRejectedException>(tooLate.AsTask)).Reason);
        Assert.False(inTime.IsCompleted);
        for (var left = 0; left < 4; left++)
        {
            gate.Leave();
        }

        await Task.WhenAll(first, second, inTime);
        Assert.Equal((1, 0), (gate.Free, gate.Waiting));
    }

    [Fact]
    public async Task Who_is_behind_waits_for_the_others_and_gets_one_place_in_eight()
    {
        var gate = Gate(concurrency: 1, queue: 100);
        await gate.EnterAsync(Deadline.None, default);
        var order = new List<string>();
        var behind = Enumerable.Range(0, 2).Select(place => EnterAsync($"behind {place}", isBehind: true)).ToList();
        var before = Enumerable.Range(0, 10).Select(place => EnterAsync($"before {place}", isBehind: false)).ToList();

        for (var left = 0; left < 12; left++)
        {
            var waiting = behind.Concat(before).Where(one => !one.IsCompleted).ToList();
            gate.Leave();
            await Task.WhenAny(waiting);
            Assert.Equal(left + 1, order.Count);
        }

        string[] expected = [.. Enumerable.Range(0, 7).Select(place => $"before {place}"), "behind 0", "before 7", "before 8", "before 9", "behind 1"];
        Assert.Equal(expected, order);

        async Task EnterAsync(string name, bool isBehind)
        {
            await gate.EnterAsync(Deadline.None, default, isBehind);
            order.Add(name);
        }
    }

    [Fact]
    public async Task Quiet_comes_when_the_last_one_waiting_is_in_or_when_the_time_is_up()
    {
        var gate = Gate(concurrency: 1, queue: 10);
        await gate.EnterAsync(Deadline.None, default);
        Assert.True(gate.QuietAsync(TimeSpan.FromMilliseconds(100), default).AsTask().IsCompletedSuccessfully);

        var waiters = Enumerable.Range(0, 2).Select(_ => gate.EnterAsync(Deadline.None, default).AsTask()).ToList();
        var quiet = gate.QuietAsync(TimeSpan.FromMilliseconds(100), default).AsTask();
        gate.Leave();
        await waiters[0];
        Assert.False(quiet.IsCompleted);
        gate.Leave();
        await waiters[1];
        await quiet;

        var another = gate.EnterAsync(Deadline.None, default).AsTask();
        var patient = gate.QuietAsync(TimeSpan.FromMilliseconds(100), default).AsTask();
        _clock.Advance(TimeSpan.FromMilliseconds(99));
        Assert.False(patient.IsCompleted);
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        await patient;
        gate.Leave();
        await another;
    }

    [Fact]
    public async Task Cancelled_waiter_leaves_the_queue()
    {
        var gate = Gate(concurrency: 1, queue: 10);
        using var cancellation = new CancellationTokenSource();
        await gate.EnterAsync(Deadline.None, default);
        var waiter = gate.EnterAsync(Deadline.None, cancellation.Token).AsTask();

        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiter);
        Assert.Equal(0, gate.Waiting);
        gate.Leave();
        Assert.Equal(1, gate.Free);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => gate.EnterAsync(Deadline.None, cancellation.Token).AsTask());
        Assert.Equal(1, gate.Free);
    }

    [Fact]
    public async Task No_place_is_ever_lost()
    {
        const int Seed = 5;
        const int Concurrency = 3;
        var gate = new AdmissionGate("rank", Concurrency, 4, TimeProvider.System, _metrics);
        var (inside, admitted, rejected) = (0, 0, 0);

        await Task.WhenAll(Enumerable.Range(0, 12).Select(worker => Task.Run(async () =>
        {
            var random = new Random(Seed + worker);
            for (var round = 0; round < 2000; round++)
            {
                using var cancellation = new CancellationTokenSource();
                var deadline = random.Next(3) == 0 ? Deadline.After(TimeSpan.FromMicroseconds(random.Next(200)), TimeProvider.System) : Deadline.None;
                var entering = gate.EnterAsync(deadline, cancellation.Token);
                if (random.Next(4) == 0)
                {
                    await cancellation.CancelAsync();
                }

                try
                {
                    await entering;
                }
                catch (Exception exception) when (exception is ScoringRejectedException or OperationCanceledException)
                {
                    Interlocked.Increment(ref rejected);
                    continue;
                }

                Assert.InRange(Interlocked.Increment(ref inside), 1, Concurrency);
                Thread.SpinWait(random.Next(500));
                if (random.Next(10) == 0)
                {
                    await Task.Yield();
                }

                Interlocked.Decrement(ref inside);
                Interlocked.Increment(ref admitted);
                gate.Leave();
            }
        })));

        Assert.Equal((Concurrency, 0), (gate.Free, gate.Waiting));
        Assert.Equal(12 * 2000, admitted + rejected);
        Assert.True(admitted > 0 && rejected > 0);
    }

    [Fact]
    public async Task Entering_a_free_gate_allocates_nothing()
    {
        var gate = Gate(concurrency: 1, queue: 10);
        var deadline = Deadline.After(TimeSpan.FromSeconds(1), _clock);
        await gate.EnterAsync(deadline, default);
        gate.Leave();

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
        {
            Assert.True(gate.EnterAsync(deadline, default).AsTask().IsCompletedSuccessfully);
            gate.Leave();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private AdmissionGate Gate(int concurrency, int queue) => new("rank", concurrency, queue, _clock, _metrics);

    /// <summary>Its timers never ring, as those of a busy machine do too late.</summary>
    private sealed class LateTimerClock : TimeProvider
    {
        private long _ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Volatile.Read(ref _ticks);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            System.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

        public void Advance(TimeSpan time) => Interlocked.Add(ref _ticks, time.Ticks);
    }
}
