using System.Numerics;
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
/// Joins rankings that come together into one run, for devices on which a run of many costs little more than a run of one. A batch starts when the device is idle; beside another, when it would be
/// full or its oldest ranking has waited long enough. It holds rankings of one bucket of candidates, so that little is filled up, and few shapes are run; the oldest ranking of all decides which,
/// so that no bucket waits for good. It is put together when it has its place on the device, so that whoever has given up, or is too late by then, is not in it.
/// </summary>
internal sealed class RankBatcher
{
    private const int SmallestBucket = 64;

    private readonly Lock _lock = new();
    private readonly LinkedList<QueuedRanking> _queue = new();
    private readonly BatchingRules _rules;
    private readonly Action<IReadOnlyList<QueuedRanking>, int> _run;
    private readonly AdmissionGate _gate;
    private readonly TimeProvider _clock;
    private readonly ScoringMetrics _metrics;
    private readonly ITimer _timer;
    private int _inFlight;

    /// <param name="rules">How to join.</param>
    /// <param name="run">Runs rankings, each filled up to so many candidates, and writes their scores.</param>
    /// <param name="gate">Where a run takes its place among all that the device does.</param>
    /// <param name="clock">Clock of deadlines and delays.</param>
    /// <param name="metrics">Where it counts.</param>
    public RankBatcher(BatchingRules rules, Action<IReadOnlyList<QueuedRanking>, int> run, AdmissionGate gate, TimeProvider clock, ScoringMetrics metrics)
    {
        (_rules, _run, _gate, _clock, _metrics) = (rules, run, gate, clock, metrics);
        _timer = clock.CreateTimer(static self => ((RankBatcher)self!).Pump(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
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
    public static int BucketOf(int count) => (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(count, SmallestBucket));

    /// <summary>Waits until the scores of <paramref name="ranking"/> are written. Its buffers are not touched afterwards, however it ends.</summary>
    /// <returns>How long the run took that it was in.</returns>
    /// <exception cref="ScoringRejectedException">The queue is full, or the deadline passed before it ran.</exception>
    /// <exception cref="OperationCanceledException">The caller gave up before it ran.</exception>
    public async ValueTask<TimeSpan> ScoreAsync(QueuedRanking ranking, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        if (ranking.Deadline.HasPassed(_clock))
        {
            throw Reject(ScoringRejection.DeadlineExceeded);
        }

        lock (_lock)
        {
            // What would start at once does not wait.
            if (_inFlight >= _rules.InFlight && _queue.Count >= _rules.QueueLength)
            {
                throw Reject(ScoringRejection.Overloaded);
            }

            ranking.Queued = _clock.GetTimestamp();
            ranking.Node = _queue.AddLast(ranking);
        }

        _metrics.BatchQueued(1);
        await using (cancellation.UnsafeRegister((_, token) => GiveUp(ranking, token), null))
        {
            Pump();
            return await ranking.Scored.Task;
        }
    }

    /// <summary>Drops what is too late and starts what can be started. Called whenever something has changed: a ranking came, a batch ended, time has passed.</summary>
    private void Pump()
    {
        List<QueuedRanking>? late;
        var starts = false;
        lock (_lock)
        {
            late = TakeLate();
            if (IsToStart())
            {
                _inFlight++;
                starts = true;
            }

            SetTimer();
        }

        Refuse(late);
        if (starts)
        {
            // Elsewhere: a run holds its thread, and this one is a caller's.
            ThreadPool.UnsafeQueueUserWorkItem(static self => _ = self.RunAsync(), this, preferLocal: false);
        }
    }

    private List<QueuedRanking>? TakeLate()
    {
        List<QueuedRanking>? late = null;
        for (var node = _queue.First; node is not null;)
        {
            var next = node.Next;
            if (node.Value.Deadline.HasPassed(_clock))
            {
                (late ??= []).Add(node.Value);
                Unlink(node.Value);
            }

            node = next;
        }

        return late;
    }

    private bool IsToStart()
    {
        if (_inFlight >= _rules.InFlight || _queue.First?.Value is not { } oldest)
        {
            return false;
        }

        return _inFlight == 0 || _clock.GetElapsedTime(oldest.Queued) >= _rules.Delay || CountOf(BucketOf(oldest.Count)) >= MostOf(BucketOf(oldest.Count));
    }

    private int CountOf(int bucket)
    {
        var count = 0;
        foreach (var ranking in _queue)
        {
            count += BucketOf(ranking.Count) == bucket ? 1 : 0;
        }

        return count;
    }

    /// <summary>Most rankings of a batch of the bucket: a power of two, because that is what a batch is filled up to.</summary>
    private int MostOf(int bucket) => 1 << BitOperations.Log2((uint)Math.Max(1, Math.Min(_rules.Rankings, _rules.Candidates / bucket)));

    /// <summary>Comes back when the next deadline passes, or the oldest ranking has waited long enough to run beside what is running.</summary>
    private void SetTimer()
    {
        var next = TimeSpan.MaxValue;
        foreach (var ranking in _queue)
        {
            var left = ranking.Deadline.Left(_clock);
            next = left != Timeout.InfiniteTimeSpan && left < next ? left : next;
        }

        if (_inFlight < _rules.InFlight && _queue.First?.Value is { } oldest && _rules.Delay - _clock.GetElapsedTime(oldest.Queued) is var delay && delay < next)
        {
            next = delay;
        }

        // Whole milliseconds, rounded up: a timer that rings before its time would find nothing to do.
        _timer.Change(
            next == TimeSpan.MaxValue ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(Math.Clamp(Math.Ceiling(next.TotalMilliseconds), 1, int.MaxValue)), Timeout.InfiniteTimeSpan);
    }

    private async Task RunAsync()
    {
        // Not of the requests' queue: it waits for all of them.
        await _gate.EnterAsync(Deadline.None, CancellationToken.None, bounded: false);
        List<QueuedRanking>? late;
        List<QueuedRanking> batch;
        lock (_lock)
        {
            late = TakeLate();
            batch = TakeBatch();
        }

        Refuse(late);
        Exception? failure = null;
        var begin = _clock.GetTimestamp();
        try
        {
            if (batch.Count > 0)
            {
                _run(batch, BucketOf(batch[0].Count));
                _metrics.Batched(batch.Count);
            }
        }
        catch (Exception e)
        {
            // Whatever it is, it is the callers' to see: nobody else waits for this run.
            failure = e;
        }

        var ran = _clock.GetElapsedTime(begin);
        lock (_lock)
        {
            _inFlight--;
        }

        _gate.Leave();
        try
        {
            // First the device: it works on while the callers write their replies.
            Pump();
        }
        finally
        {
            foreach (var ranking in batch)
            {
                if (failure is null)
                {
                    ranking.Scored.SetResult(ran);
                }
                else
                {
                    ranking.Scored.SetException(failure);
                }
            }
        }
    }

    /// <summary>The oldest ranking, and those of its bucket that came next.</summary>
    private List<QueuedRanking> TakeBatch()
    {
        var batch = new List<QueuedRanking>(_rules.Rankings);
        if (_queue.First is not { } first)
        {
            return batch;
        }

        var bucket = BucketOf(first.Value.Count);
        var most = MostOf(bucket);
        for (var node = first; node is not null && batch.Count < most;)
        {
            var next = node.Next;
            if (BucketOf(node.Value.Count) == bucket)
            {
                batch.Add(node.Value);
                Unlink(node.Value);
            }

            node = next;
        }

        return batch;
    }

    private void Refuse(List<QueuedRanking>? late) => late?.ForEach(ranking => ranking.Scored.SetException(Reject(ScoringRejection.DeadlineExceeded)));

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

    private void Unlink(QueuedRanking ranking)
    {
        ranking.Node!.List!.Remove(ranking.Node);
        ranking.Node = null;
        _metrics.BatchQueued(-1);
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

    /// <summary>The time of its run. Continues elsewhere: who ends a batch must go on with the next.</summary>
    public TaskCompletionSource<TimeSpan> Scored { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
