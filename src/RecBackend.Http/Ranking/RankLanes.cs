using System.Runtime.CompilerServices;
using RecBackend.Core.Models;

namespace RecBackend.Http.Ranking;

/// <summary>
/// Threads that rankings run on, one for each that may run at once, from the body at hand to the reply written. They begin in the order in which they came, and the threads of the pool stay free for
/// sockets and HTTP: a ranking holds its thread for as long as the model runs, and on the pool every step of every other call would wait for that. How many wait <see cref="RankLimit"/> bounds.
/// </summary>
internal sealed class RankLanes : IDisposable
{
    // How much later than its deadline a ranking that still waits may be answered.
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(10);

    private readonly object _lock = new();
    private readonly Queue<Waiter> _waiting = new();
    private readonly TimeProvider _clock;
    private readonly int _count;
    private ITimer? _timer;
    private int _running;
    private double _meanSeconds;
    private bool _ticking;
    private bool _ended;

    /// <param name="count">How many threads.</param>
    /// <param name="clock">Clock of the deadlines, and of how long rankings take.</param>
    public RankLanes(int count, TimeProvider clock)
    {
        (_count, _clock) = (count, clock);
        for (var lane = 0; lane < count; lane++)
        {
            new Thread(Work) { IsBackground = true, Name = $"rank {lane}" }.UnsafeStart();
        }
    }

    /// <summary>How many wait for their turn.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
            {
                return _waiting.Count;
            }
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
                var ends = _waiting.Count + _running - _count + 1;
                return ends <= 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(ends * _meanSeconds / _count);
            }
        }
    }

    /// <summary>Awaited, goes on on a lane when its turn has come; on the pool, if the deadline passes before.</summary>
    public Turn TakeTurn(Deadline deadline) => new(this, deadline);

    /// <summary>Lets the threads end. What waits is still run, and what comes later stays on the thread that it is on.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _ended = true;
            Monitor.PulseAll(_lock);
            _timer?.Dispose();
        }
    }

    private void Add(Waiter waiter)
    {
        lock (_lock)
        {
            if (!_ended)
            {
                _waiting.Enqueue(waiter);
                Monitor.Pulse(_lock);
                KeepTime();
                return;
            }
        }

        waiter.Continue();
    }

    private void Work()
    {
        while (Next() is { } next)
        {
            var begun = _clock.GetTimestamp();
            next();
            var seconds = _clock.GetElapsedTime(begun).TotalSeconds;
            lock (_lock)
            {
                _running--;
                _meanSeconds += (seconds - _meanSeconds) / 16;
            }
        }
    }

    /// <summary>Waits for a ranking; null at the end.</summary>
    private Action? Next()
    {
        lock (_lock)
        {
            Waiter waiter;
            while (!_waiting.TryDequeue(out waiter))
            {
                if (_ended)
                {
                    return null;
                }

                Monitor.Wait(_lock);
            }

            _running++;
            return waiter.Continue;
        }
    }

    /// <summary>Has the timer ring while rankings wait for lanes that are all at work.</summary>
    private void KeepTime()
    {
        if (!_ticking && !_ended && _running == _count && _waiting.Count > 0)
        {
            _timer ??= _clock.CreateTimer(static self => ((RankLanes)self!).LetGoWhatIsTooLate(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _ticking = _timer.Change(Tick, Timeout.InfiniteTimeSpan);
        }
    }

    private void LetGoWhatIsTooLate()
    {
        lock (_lock)
        {
            // Once round, so that the others keep their order.
            for (var left = _waiting.Count; left > 0; left--)
            {
                var waiter = _waiting.Dequeue();
                if (waiter.Deadline.HasPassed(_clock))
                {
                    ThreadPool.UnsafeQueueUserWorkItem(static continuation => continuation(), waiter.Continue, preferLocal: false);
                }
                else
                {
                    _waiting.Enqueue(waiter);
                }
            }

            _ticking = false;
            KeepTime();
        }
    }

    /// <summary>The change to a lane, as <c>await</c> wants it.</summary>
    public readonly struct Turn(RankLanes lanes, Deadline deadline) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => false;

        public Turn GetAwaiter() => this;

        public void GetResult()
        {
            // The turn has come, or the deadline has: there is nothing to tell.
        }

        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation) => lanes.Add(new(continuation, deadline));
    }

    private readonly record struct Waiter(Action Continue, Deadline Deadline);
}
