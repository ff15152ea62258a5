using System.Runtime.CompilerServices;
using RecBackend.Core.Models;

namespace RecBackend.Scoring.Onnx;

/// <summary>
/// Admits a fixed number of runs at once; others wait in the order in which they came, up to a bound and to their deadline. Who is not expected to make its deadline any more is told so at once.
/// With a free place entering allocates nothing.
/// </summary>
internal sealed class AdmissionGate
{
    // Of so many places in a row at least one goes to those behind.
    private const int Turns = 8;

    private readonly Lock _lock = new();
    private readonly LinkedList<Waiter> _queue = new();
    private readonly LinkedList<Waiter> _behind = new();
    private readonly List<TaskCompletionSource> _quiet = [];
    private readonly int _queueLength;
    private readonly TimeProvider _clock;
    private readonly ScoringMetrics _metrics;
    private readonly int _concurrency;
    private int _free;
    private int _turn;
    private double _meanRun;

    /// <param name="name">Tag of its metrics.</param>
    /// <param name="concurrency">How many are admitted at once.</param>
    /// <param name="queueLength">How many may wait.</param>
    /// <param name="clock">Clock of the deadlines.</param>
    /// <param name="metrics">Where it counts.</param>
    public AdmissionGate(string name, int concurrency, int queueLength, TimeProvider clock, ScoringMetrics metrics)
    {
        Name = name;
        _concurrency = concurrency;
        _free = concurrency;
        _queueLength = queueLength;
        _clock = clock;
        _metrics = metrics;
    }

    /// <summary>Tag of its metrics.</summary>
    public string Name { get; }

    /// <summary>How many are inside.</summary>
    public int Running => _concurrency - Free;

    /// <summary>How many more would be admitted at once.</summary>
    public int Free
    {
        get
        {
            lock (_lock)
            {
                return _free;
            }
        }
    }

    /// <summary>How many wait.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
            {
                return _queue.Count + _behind.Count;
            }
        }
    }

    /// <summary>Waits for a place. Every entry must be followed by one <see cref="Leave"/>.</summary>
    /// <param name="deadline">Until when.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <param name="behind">Whether others go before it, but for one place in eight.</param>
    /// <param name="bounded">Whether the bound of the queue is for it too.</param>
    /// <exception cref="ScoringRejectedException">The queue is full, or the deadline passed before there was a place, or is expected to.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public ValueTask EnterAsync(Deadline deadline, CancellationToken cancellation, bool behind = false, bool bounded = true)
    {
        if (cancellation.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellation);
        }

        if (deadline.HasPassed(_clock))
        {
            return ValueTask.FromException(Reject(ScoringRejection.DeadlineExceeded));
        }

        Waiter waiter;
        lock (_lock)
        {
            // Nobody waits while a place is free: Leave hands its place to the next in line.
            if (_free > 0)
            {
                _free--;
                return ValueTask.CompletedTask;
            }

            var waiting = _queue.Count + _behind.Count;
            if (bounded && waiting >= _queueLength)
            {
                return ValueTask.FromException(Reject(ScoringRejection.Overloaded));
            }

            if (deadline != Deadline.None && deadline.Left(_clock).TotalSeconds < (waiting + 1) * _meanRun / _concurrency)
            {
                return ValueTask.FromException(Reject(ScoringRejection.DeadlineExceeded));
            }

            waiter = new Waiter(this);
            waiter.Node = (behind ? _behind : _queue).AddLast(waiter);
        }

        return WaitAsync(waiter, deadline, cancellation);
    }

    /// <summary>Gives the place back: to the next in line, if anybody waits.</summary>
    /// <param name="ran">How long the run took that held the place, if what the next ones will wait is to be reckoned from it.</param>
    public void Leave(TimeSpan? ran = null)
    {
        Waiter? next;
        TaskCompletionSource[] quiet;
        lock (_lock)
        {
            if (ran is { } time)
            {
                _meanRun += (time.TotalSeconds - _meanRun) / 16;
            }

            next = Next();
            if (next is null)
            {
                _free++;
            }
            else
            {
                Unlink(next);
            }

            quiet = TakeQuiet();
        }

        next?.Admitted.SetResult();
        Array.ForEach(quiet, static one => one.TrySetResult());
    }

    /// <summary>Waits until nobody waits for a place, but not for ever.</summary>
    /// <param name="atMost">How long at most.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public async ValueTask QuietAsync(TimeSpan atMost, CancellationToken cancellation)
    {
        TaskCompletionSource quiet;
        lock (_lock)
        {
            if (IsQuiet)
            {
                return;
            }

            quiet = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _quiet.Add(quiet);
        }

        try
        {
            await quiet.Task.WaitAsync(atMost, _clock, cancellation);
        }
        catch (TimeoutException)
        {
            // It has waited long enough.
        }
        finally
        {
            lock (_lock)
            {
                _quiet.Remove(quiet);
            }
        }
    }

    private bool IsQuiet => _queue.Count == 0 && _behind.Count == 0;

    private TaskCompletionSource[] TakeQuiet()
    {
        if (_quiet.Count == 0 || !IsQuiet)
        {
            return [];
        }

        TaskCompletionSource[] quiet = [.. _quiet];
        _quiet.Clear();
        return quiet;
    }

    /// <summary>Who gets the next place, or null.</summary>
    private Waiter? Next()
    {
        if (_queue.First is not { } first)
        {
            return _behind.First?.Value;
        }

        if (_behind.First is { } patient && ++_turn >= Turns)
        {
            _turn = 0;
            return patient.Value;
        }

        return first.Value;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask WaitAsync(Waiter waiter, Deadline deadline, CancellationToken cancellation)
    {
        await using (StartTimer(waiter, deadline))
        await using (cancellation.UnsafeRegister(static (state, token) => ((Waiter)state!).GiveUp(new OperationCanceledException(token)), waiter))
        {
            await waiter.Admitted.Task;
        }

        if (deadline.HasPassed(_clock))
        {
            Leave();
            throw Reject(ScoringRejection.DeadlineExceeded);
        }
    }

    private ITimer? StartTimer(Waiter waiter, Deadline deadline)
    {
        var left = deadline.Left(_clock);
        if (left == Timeout.InfiniteTimeSpan)
        {
            return null;
        }

        // Whole milliseconds, rounded up: a timer that rings before the deadline would reject too early.
        var due = TimeSpan.FromMilliseconds(Math.Min(Math.Ceiling(left.TotalMilliseconds), int.MaxValue));
        return _clock.CreateTimer(static state => ((Waiter)state!).GiveUp(null), waiter, due, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Ends a wait, unless a place came first: whoever takes the waiter out of the queue decides, so that no place is lost.</summary>
    /// <param name="waiter">Who waits.</param>
    /// <param name="cause">Why; null for the deadline.</param>
    private void GiveUp(Waiter waiter, Exception? cause)
    {
        TaskCompletionSource[] quiet;
        lock (_lock)
        {
            if (waiter.Node is null)
            {
                return;
            }

            Unlink(waiter);
            quiet = TakeQuiet();
        }

        waiter.Admitted.SetException(cause ?? Reject(ScoringRejection.DeadlineExceeded));
        Array.ForEach(quiet, static one => one.TrySetResult());
    }

    private static void Unlink(Waiter waiter)
    {
        waiter.Node!.List!.Remove(waiter.Node);
        waiter.Node = null;
    }

    private ScoringRejectedException Reject(ScoringRejection reason)
    {
        _metrics.Rejected(Name, reason);
        return new ScoringRejectedException(reason);
    }

    private sealed class Waiter(AdmissionGate gate)
    {
        /// <summary>Continues elsewhere: who leaves must not run the next one's graph before it returns its own result.</summary>
        public TaskCompletionSource Admitted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Its place in the queue; null once somebody took it out.</summary>
        public LinkedListNode<Waiter>? Node { get; set; }

        /// <summary>Ends its wait, unless a place came first; for callbacks, which get it as their state and so need no closure.</summary>
        /// <param name="cause">Why; null for the deadline.</param>
        public void GiveUp(Exception? cause) => gate.GiveUp(this, cause);
    }
}
