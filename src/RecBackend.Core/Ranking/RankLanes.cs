using System.Runtime.CompilerServices;
using RecBackend.Core.Models;

namespace RecBackend.Core.Ranking;

/// <summary>
/// Threads that rankings run on, one for each that may run at once, from the body at hand to the reply written. They begin in the order in which they came, and the threads of the pool stay free for
/// sockets and HTTP: a ranking holds its thread for as long as the model runs, and on the pool every step of every other call would wait for that. Who waits for something else lets the thread go,
/// and takes another turn when it is there, before those that have not begun. The host bounds how many wait.
/// </summary>
public sealed class RankLanes : IDisposable
{
    // How much later than its deadline a ranking that still waits may be answered.
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(10);

    private readonly object _lock = new();
    private readonly Queue<Waiter> _waiting = new();
    private readonly Queue<Waiter> _begun = new();

    // The one that rests since last is the first to work again: its session and buffers are still near its processor.
    private readonly Stack<Lane> _resting = new();
    private readonly RankingDemand _demand;
    private readonly TimeProvider _clock;
    private readonly int _count;
    private ITimer? _timer;
    private int _running;
    private double _meanSeconds;
    private bool _ticking;
    private bool _ended;

    /// <summary>Starts the threads.</summary>
    /// <param name="count">How many threads.</param>
    /// <param name="demand">Is told how many wait.</param>
    /// <param name="clock">Clock of the deadlines, and of how long rankings take.</param>
    public RankLanes(int count, RankingDemand demand, TimeProvider clock)
    {
        (_count, _demand, _clock) = (count, demand, clock);
        for (var lane = 0; lane < count; lane++)
        {
            new Thread(() => Work(new Lane())) { IsBackground = true, Name = $"rank {lane}" }.UnsafeStart();
        }
    }

    /// <summary>How long a ranking that came now would wait for its turn, by the mean of those before it.</summary>
    public TimeSpan ExpectedWait
    {
        get
        {
            lock (_lock)
            {
                // Its turn comes when all that wait before it have begun, and one more has ended, unless a lane is at rest.
                var ends = Waiting + _running - _count + 1;
                return ends <= 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(ends * _meanSeconds / _count);
            }
        }
    }

    private int Waiting => _waiting.Count + _begun.Count;

    /// <summary>Awaited, goes on on a lane when its turn has come; on the pool, if before that the deadline passes or the caller gives up.</summary>
    public Turn TakeTurn(Deadline deadline, CancellationToken cancellation = default) => new(this, _waiting, deadline, cancellation);

    /// <summary>The same for a ranking that had a turn and let it go to wait for something else: it comes before all that have not begun.</summary>
    public Turn TakeTurnAgain(Deadline deadline, CancellationToken cancellation = default) => new(this, _begun, deadline, cancellation);

    /// <summary>Lets the threads end. What waits is still run, and what comes later stays on the thread that it is on.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _ended = true;
            _timer?.Dispose();
            while (_resting.TryPop(out var lane))
            {
                lane.Wake();
            }
        }
    }

    private void Add(Queue<Waiter> queue, Waiter waiter)
    {
        Lane? resting;
        lock (_lock)
        {
            if (_ended)
            {
                resting = null;
            }
            else
            {
                queue.Enqueue(waiter);
                _demand.Add(1);
                KeepTime();
                if (!_resting.TryPop(out resting))
                {
                    return;
                }
            }
        }

        if (resting is null)
        {
            waiter.Continue();
        }
        else
        {
            resting.Wake();
        }
    }

    private void Work(Lane lane)
    {
        TimeSpan? ran = null;
        while (Next(lane, ran) is { } next)
        {
            var begun = _clock.GetTimestamp();
            next();
            ran = _clock.GetElapsedTime(begun);
        }
    }

    /// <summary>Ends a ranking, unless it is the first, and waits for another; null at the end.</summary>
    private Action? Next(Lane lane, TimeSpan? ran)
    {
        while (true)
        {
            lock (_lock)
            {
                if (ran is { } time)
                {
                    _running--;
                    _meanSeconds += (time.TotalSeconds - _meanSeconds) / 16;
                    ran = null;
                }

                if (_begun.TryDequeue(out var waiter) || _waiting.TryDequeue(out waiter))
                {
                    _running++;
                    _demand.Add(-1);
                    KeepTime();
                    return waiter.Continue;
                }

                if (_ended)
                {
                    return null;
                }

                _resting.Push(lane);
            }

            // Another lane may take what it is woken for; then it rests again.
            lane.Rest();
        }
    }

    /// <summary>Has the timer ring while rankings wait for lanes that are all at work.</summary>
    private void KeepTime()
    {
        if (!_ticking && !_ended && _running == _count && Waiting > 0)
        {
            _timer ??= CreateTimer();
            _ticking = _timer.Change(Tick, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Without the context of the request that happens to be the first to wait.</summary>
    private ITimer CreateTimer()
    {
        using (ExecutionContext.SuppressFlow())
        {
            return _clock.CreateTimer(static self => ((RankLanes)self!).LetGoWhatIsTooLate(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    private void LetGoWhatIsTooLate()
    {
        lock (_lock)
        {
            LetGoWhatIsTooLate(_begun);
            LetGoWhatIsTooLate(_waiting);
            _ticking = false;
            KeepTime();
        }
    }

    private void LetGoWhatIsTooLate(Queue<Waiter> queue)
    {
        // Once round, so that the others keep their order.
        for (var left = queue.Count; left > 0; left--)
        {
            var waiter = queue.Dequeue();
            if (waiter.Cancellation.IsCancellationRequested || waiter.Deadline.HasPassed(_clock))
            {
                _demand.Add(-1);
                ThreadPool.UnsafeQueueUserWorkItem(static continuation => continuation(), waiter.Continue, preferLocal: false);
            }
            else
            {
                queue.Enqueue(waiter);
            }
        }
    }

    /// <summary>The change to a lane, as <c>await</c> wants it. Awaiting one thing makes one change.</summary>
    public readonly struct Turn : ICriticalNotifyCompletion
    {
        private readonly RankLanes _lanes;
        private readonly Queue<Waiter> _queue;
        private readonly Deadline _deadline;
        private readonly CancellationToken _cancellation;

        internal Turn(RankLanes lanes, Queue<Waiter> queue, Deadline deadline, CancellationToken cancellation) =>
            (_lanes, _queue, _deadline, _cancellation) = (lanes, queue, deadline, cancellation);

        /// <summary>Always false: even a lane that rests has to be woken.</summary>
        public bool IsCompleted => false;

        /// <summary>Itself.</summary>
        public Turn GetAwaiter() => this;

        /// <summary>The turn has come, or the deadline has: there is nothing to tell.</summary>
        public void GetResult()
        {
        }

        /// <inheritdoc/>
        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        /// <inheritdoc/>
        public void UnsafeOnCompleted(Action continuation) => _lanes.Add(_queue, new(continuation, _deadline, _cancellation));
    }

    /// <summary>A thread, when it has nothing to do.</summary>
    private sealed class Lane
    {
        private readonly object _lock = new();
        private bool _woken;

        public void Rest()
        {
            lock (_lock)
            {
                while (!_woken)
                {
                    Monitor.Wait(_lock);
                }

                _woken = false;
            }
        }

        public void Wake()
        {
            lock (_lock)
            {
                _woken = true;
                Monitor.Pulse(_lock);
            }
        }
    }

    internal readonly record struct Waiter(Action Continue, Deadline Deadline, CancellationToken Cancellation);
}
