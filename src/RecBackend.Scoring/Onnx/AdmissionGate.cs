using RecBackend.Core.Models;

namespace RecBackend.Scoring.Onnx;

/// <summary>
/// Admits a fixed number of runs at once; others wait in the order in which they came, up to a bound and to their deadline.
/// With a free place entering allocates nothing.
/// </summary>
internal sealed class AdmissionGate
{
    private readonly Lock _lock = new();
    private readonly LinkedList<Waiter> _queue = new();
    private readonly int _queueLength;
    private readonly TimeProvider _clock;
    private readonly ScoringMetrics _metrics;
    private readonly int _concurrency;
    private int _free;

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
                return _queue.Count;
            }
        }
    }

    /// <summary>Waits for a place. Every entry must be followed by one <see cref="Leave"/>.</summary>
    /// <exception cref="ScoringRejectedException">The queue is full, or the deadline passed before there was a place.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up.</exception>
    public ValueTask EnterAsync(Deadline deadline, CancellationToken cancellation)
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
            // Nobody waits while a place is free: Leave hands its place to the first in the queue.
            if (_free > 0)
            {
                _free--;
                return ValueTask.CompletedTask;
            }

            if (_queue.Count >= _queueLength)
            {
                return ValueTask.FromException(Reject(ScoringRejection.Overloaded));
            }

            waiter = new Waiter();
            waiter.Node = _queue.AddLast(waiter);
        }

        return WaitAsync(waiter, deadline, cancellation);
    }

    /// <summary>Gives the place back: to the first in the queue, if anybody waits.</summary>
    public void Leave()
    {
        Waiter? next = null;
        lock (_lock)
        {
            if (_queue.First is { } first)
            {
                next = first.Value;
                Unlink(next);
            }
            else
            {
                _free++;
            }
        }

        next?.Admitted.SetResult();
    }

    private async ValueTask WaitAsync(Waiter waiter, Deadline deadline, CancellationToken cancellation)
    {
        await using (StartTimer(waiter, deadline))
        await using (cancellation.UnsafeRegister((_, token) => GiveUp(waiter, new OperationCanceledException(token)), null))
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
        return _clock.CreateTimer(_ => GiveUp(waiter, null), null, due, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Ends a wait, unless a place came first: whoever takes the waiter out of the queue decides, so that no place is lost.</summary>
    /// <param name="waiter">Who waits.</param>
    /// <param name="cause">Why; null for the deadline.</param>
    private void GiveUp(Waiter waiter, Exception? cause)
    {
        lock (_lock)
        {
            if (waiter.Node is null)
            {
                return;
            }

            Unlink(waiter);
        }

        waiter.Admitted.SetException(cause ?? Reject(ScoringRejection.DeadlineExceeded));
    }

    private void Unlink(Waiter waiter)
    {
        _queue.Remove(waiter.Node!);
        waiter.Node = null;
    }

    private ScoringRejectedException Reject(ScoringRejection reason)
    {
        _metrics.Rejected(Name, reason);
        return new ScoringRejectedException(reason);
    }

    private sealed class Waiter
    {
        /// <summary>Continues elsewhere: who leaves must not run the next one's graph before it returns its own result.</summary>
        public TaskCompletionSource Admitted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Its place in the queue; null once somebody took it out.</summary>
        public LinkedListNode<Waiter>? Node { get; set; }
    }
}
