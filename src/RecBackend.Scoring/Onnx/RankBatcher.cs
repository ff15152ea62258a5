using RecBackend.Core.Models;

namespace RecBackend.Scoring.Onnx;

/// <summary>How rankings are joined.</summary>
/// <param name="Rankings">Most rankings of a batch.</param>
/// <param name="Candidates">Most candidates of all of them, filled up; a single ranking may have more.</param>
/// <param name="Delay">How long the oldest waits for others while the device is busy.</param>
/// <param name="InFlight">Batches that the device has at once: with two, one is copied while the other runs.</param>
/// <param name="QueueLength">Rankings that may wait; the next is rejected as overload.</param>
internal sealed record BatchingRules(int Rankings, int Candidates, TimeSpan Delay, int InFlight, int QueueLength);

/// <summary>
/// Joins rankings that come together into one run, for devices on which a run of many costs little more than a run of one. A batch closes when the device is idle, when it is full, or when its
/// oldest ranking has waited long enough. It holds rankings of one bucket of candidates, so that little is filled up, and few shapes are run; the oldest ranking of all decides which,
/// so that no bucket waits for good. Who has given up, or cannot be answered in time, is not run.
/// </summary>
internal sealed class RankBatcher
{
    private const int SmallestBucket = 64;

    private readonly Lock _lock = new();
    private readonly LinkedList<QueuedRanking> _queue = new();
    private readonly BatchingRules _rules;
    private readonly Func<IReadOnlyList<QueuedRanking>, int, ValueTask> _run;
    private readonly TimeProvider _clock;
    private readonly ScoringMetrics _metrics;
    private ITimer? _timer;
    private int _inFlight;

    /// <param name="rules">How to join.</param>
    /// <param name="run">Runs rankings, each filled up to so many candidates, and writes their scores.</param>
    /// <param name="clock">Clock of deadlines and delays.</param>
    /// <param name="metrics">Where it counts.</param>
    public RankBatcher(BatchingRules rules, Func<IReadOnlyList<QueuedRanking>, int, ValueTask> run, TimeProvider clock, ScoringMetrics metrics)
    {
        (_rules, _run, _clock, _metrics) = (rules, run, clock, metrics);
    }

    /// <summary>Rankings that wait.</summary>
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

    /// <summary>Candidates that a ranking of <paramref name="count"/> is filled up to: a power of two.</summary>
    public static int BucketOf(int count) => (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(count, SmallestBucket));

    /// <summary>Waits until the scores of <paramref name="ranking"/> are written. Its buffers are not touched afterwards, however it ends.</summary>
    /// <exception cref="ScoringRejectedException">The queue is full, or the deadline passed before it ran.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up before it ran.</exception>
    public async ValueTask ScoreAsync(QueuedRanking ranking, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        if (ranking.Deadline.HasPassed(_clock))
        {
            throw Reject(ScoringRejection.DeadlineExceeded);
        }

        lock (_lock)
        {
            if (_queue.Count >= _rules.QueueLength)
            {
                throw Reject(ScoringRejection.Overloaded);
            }

            ranking.Queued = _clock.GetTimestamp();
            ranking.Node = _queue.AddLast(ranking);
        }

        await using (cancellation.UnsafeRegister((_, token) => GiveUp(ranking, token), null))
        {
            Pump();
            await ranking.Scored.Task;
        }
    }

    /// <summary>Drops what is too late and starts what can be started. Called whenever something has changed: a ranking came, a batch ended, time has passed.</summary>
    private void Pump()
    {
        var late = new List<QueuedRanking>();
        var batches = new List<List<QueuedRanking>>();
        lock (_lock)
        {
            DropLate(late);
            while (Close() is { } batch)
            {
                _inFlight++;
                batches.Add(batch);
            }

            SetTimer();
        }

        late.ForEach(ranking => ranking.Scored.SetException(Reject(ScoringRejection.DeadlineExceeded)));

        // Elsewhere: a run holds its thread, and this one is a caller's.
        batches.ForEach(batch => ThreadPool.UnsafeQueueUserWorkItem(_ => _ = RunAsync(batch), null));
    }

    private void DropLate(List<QueuedRanking> late)
    {
        for (var node = _queue.First; node is not null;)
        {
            var next = node.Next;
            if (node.Value.Deadline.HasPassed(_clock))
            {
                late.Add(node.Value);
                Unlink(node.Value);
            }

            node = next;
        }
    }

    /// <summary>The next batch, out of the queue, or null if none is to start now.</summary>
    private List<QueuedRanking>? Close()
    {
        if (_inFlight >= _rules.InFlight || _queue.First?.Value is not { } oldest)
        {
            return null;
        }

        var bucket = BucketOf(oldest.Count);
        var most = Math.Max(1, Math.Min(_rules.Rankings, _rules.Candidates / bucket));
        var batch = _queue.Where(ranking => BucketOf(ranking.Count) == bucket).Take(most).ToList();
        if (_inFlight > 0 && batch.Count < most && _clock.GetElapsedTime(oldest.Queued) < _rules.Delay)
        {
            return null;
        }

        batch.ForEach(Unlink);
        return batch;
    }

    /// <summary>Comes back when the next deadline passes, or the oldest ranking has waited long enough to run beside what is running.</summary>
    private void SetTimer()
    {
        _timer?.Dispose();
        _timer = null;
        if (_queue.First?.Value is not { } oldest)
        {
            return;
        }

        var next = _queue.Min(ranking => ranking.Deadline.Left(_clock) is var left && left == Timeout.InfiniteTimeSpan ? TimeSpan.MaxValue : left);
        if (_inFlight < _rules.InFlight && _rules.Delay - _clock.GetElapsedTime(oldest.Queued) is var delay && delay < next)
        {
            next = delay;
        }

        if (next < TimeSpan.MaxValue)
        {
            // Whole milliseconds, rounded up: a timer that rings before its time would find nothing to do.
            var due = TimeSpan.FromMilliseconds(Math.Clamp(Math.Ceiling(next.TotalMilliseconds), 1, int.MaxValue));
            _timer = _clock.CreateTimer(_ => Pump(), null, due, Timeout.InfiniteTimeSpan);
        }
    }

    private async Task RunAsync(List<QueuedRanking> batch)
    {
        Exception? failure = null;
        try
        {
            _metrics.Batched(batch.Count);
            await _run(batch, BucketOf(batch[0].Count));
        }
        catch (Exception e)
        {
            // Whatever it is, it is the callers' to see: nobody else waits for this run.
            failure = e;
        }

        lock (_lock)
        {
            _inFlight--;
        }

        // First the device: it works on while the callers write their replies.
        Pump();
        foreach (var ranking in batch)
        {
            if (failure is null)
            {
                ranking.Scored.SetResult();
            }
            else
            {
                ranking.Scored.SetException(failure);
            }
        }
    }

    /// <summary>Ends a wait, unless the ranking runs already: then its buffers are in use, and it ends with its batch.</summary>
    private void GiveUp(QueuedRanking ranking, CancellationToken token)
    {
        lock (_lock)
        {
            if (ranking.Node is null)
            {
                return;
            }

            Unlink(ranking);
        }

        ranking.Scored.SetException(new OperationCanceledException(token));
    }

    private static void Unlink(QueuedRanking ranking)
    {
        ranking.Node!.List!.Remove(ranking.Node);
        ranking.Node = null;
    }

    private ScoringRejectedException Reject(ScoringRejection reason)
    {
        _metrics.Rejected("batch", reason);
        return new ScoringRejectedException(reason);
    }
}

/// <summary>A ranking that waits for its run. Its buffers are the caller's.</summary>
/// <param name="user">Encoding of the user.</param>
/// <param name="rows">[N, dRow] floats; longer than that.</param>
/// <param name="count">N.</param>
/// <param name="context">[C] floats.</param>
/// <param name="scores">N floats; longer than that.</param>
/// <param name="deadline">A ranking that would start after it is not run.</param>
internal sealed class QueuedRanking(UserEncoding user, float[] rows, int count, float[] context, float[] scores, Deadline deadline)
{
    public UserEncoding User => user;

    public float[] Rows => rows;

    public int Count => count;

    public float[] Context => context;

    public float[] Scores => scores;

    public Deadline Deadline => deadline;

    /// <summary>When it came.</summary>
    public long Queued { get; set; }

    /// <summary>Its place in the queue; null once somebody took it out.</summary>
    public LinkedListNode<QueuedRanking>? Node { get; set; }

    /// <summary>Continues elsewhere: who ends a batch must go on with the next.</summary>
    public TaskCompletionSource Scored { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
