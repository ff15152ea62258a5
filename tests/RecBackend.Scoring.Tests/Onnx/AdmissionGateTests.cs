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
