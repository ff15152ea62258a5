using Microsoft.Extensions.Logging;
using RecBackend.Core.Storage;

namespace RecBackend.Embedded.Storage;

/// <summary>What <see cref="GroupCommit"/> drives, always from one thread.</summary>
internal interface ITransaction
{
    void Begin();

    /// <summary>Returns when everything since <see cref="Begin"/> is durable; or throws, and then nothing of it is stored.</summary>
    void Commit();

    /// <summary>Takes back everything since <see cref="Begin"/>, in storage and in memory.</summary>
    void Rollback();

    /// <summary>After a commit: makes its effects visible. Callers learn of their success only after it.</summary>
    void Publish();
}

/// <summary>
/// One thread applies all writes, and one fsync makes a group of them durable: a group is whatever has queued up while the previous one was being committed.
/// <para>
/// A lone writer waits for one fsync and nothing else; a thousand writers share one. Since every decision (is this event a duplicate? does this item exist?) is taken on that thread,
/// in the order of the queue and inside the transaction, no two writers ever race: a duplicate of an event that is not durable yet stands behind it in the queue, and is answered after
/// the commit that covers the original.
/// </para>
/// <para>
/// If a group fails, its writes are tried one by one, so that nobody pays for another's bad or oversized write.
/// The queue is bounded by entries (events, items), not by calls: when it is full, a write is refused at once.
/// </para>
/// </summary>
internal sealed class GroupCommit : IAsyncDisposable
{
    private readonly ITransaction _transaction;
    private readonly int _capacity;
    private readonly ILogger _logger;
    private readonly object _gate = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Guarded by _gate. The thread swaps the list for its own empty one: it holds the gate for a moment, whatever has queued up.
    private List<Write> _queue = [];
    private int _queuedEntries;
    private bool _closing;
    private StorageException? _broken;

    public GroupCommit(ITransaction transaction, int capacity, ILogger logger)
    {
        _transaction = transaction;
        _capacity = capacity;
        _logger = logger;
        new Thread(Run) { IsBackground = true, Name = "group commit" }.Start();
    }

    /// <summary>Runs <paramref name="apply"/> inside a transaction on the commit thread, and completes when it is durable and visible.</summary>
    /// <param name="entries">How much of the queue it takes.</param>
    /// <param name="apply">The write. It may run twice, if the group in which it ran first failed: it must start afresh each time, and change nothing but the transaction's state.</param>
    /// <param name="cancellation">Ends the wait. A write that is queued may then still be stored.</param>
    /// <exception cref="StorageException">Nothing was stored.</exception>
    public Task<T> RunAsync<T>(int entries, Func<T> apply, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var write = new Write<T>(apply);
        lock (_gate)
        {
            if (_broken is not null)
            {
                throw new StorageException(_broken.Code, _broken.Message, _broken);
            }

            ObjectDisposedException.ThrowIf(_closing, typeof(EmbeddedEngine));

            // A write that is larger than the whole queue is taken when nothing else waits, else it could never be.
            if (_queue.Count > 0 && _queuedEntries + entries > _capacity)
            {
                throw new StorageException(StorageException.Overloaded, $"{_queuedEntries} events and items wait to be stored already. Try again later.");
            }

            _queue.Add(write);
            _queuedEntries += entries;
            Monitor.Pulse(_gate);
        }

        return cancellation.CanBeCanceled ? write.Task.WaitAsync(cancellation) : write.Task;
    }

    /// <summary>Stores what is queued, then ends the thread.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _closing = true;
            Monitor.Pulse(_gate);
        }

        await _ended.Task;
    }

    private void Run()
    {
        var group = new List<Write>();
        try
        {
            while (TakeQueued(ref group))
            {
                CommitGroup(group);
                group.Clear();
            }
        }
        catch (Exception exception)
        {
            // Only a defect gets here: memory may no longer agree with what is stored, so nothing more may be written.
            _logger.LogCritical(exception, "The commit thread ended; nothing more can be written until the next start");
            Break(group, new StorageException(StorageException.Unavailable, "The engine stopped writing after an internal error; see its log, then restart it.", exception));
        }

        _ended.SetResult();
    }

    /// <summary>Waits for writes and takes all of them; false when there will be no more.</summary>
    private bool TakeQueued(ref List<Write> group)
    {
        lock (_gate)
        {
            while (_queue.Count == 0)
            {
                if (_closing)
                {
                    return false;
                }

                Monitor.Wait(_gate);
            }

            (group, _queue) = (_queue, group);
            _queuedEntries = 0;
            return true;
        }
    }

    private void CommitGroup(List<Write> group)
    {
        if (TryCommit(group) is not { } failure)
        {
            return;
        }

        if (group.Count == 1 || failure is StorageException { Code: not StorageException.Full })
        {
            Fail(group, failure);
            return;
        }

        var alone = new List<Write>(1);
        foreach (var write in group)
        {
            alone.Clear();
            alone.Add(write);
            if (TryCommit(alone) is { } itsOwn)
            {
                write.Fail(itsOwn);
            }
        }
    }

    private Exception? TryCommit(List<Write> group)
    {
        try
        {
            _transaction.Begin();
            foreach (var write in group)
            {
                write.Apply();
            }

            _transaction.Commit();
        }
        catch (Exception exception)
        {
            _transaction.Rollback();
            return exception;
        }

        _transaction.Publish();
        foreach (var write in group)
        {
            write.Succeed();
        }

        return null;
    }

    private static void Fail(List<Write> group, Exception failure)
    {
        foreach (var write in group)
        {
            write.Fail(failure);
        }
    }

    private void Break(List<Write> group, StorageException reason)
    {
        lock (_gate)
        {
            _broken = reason;
            group.AddRange(_queue);
            _queue.Clear();
        }

        Fail(group, reason);
    }

    private abstract class Write
    {
        public abstract void Apply();

        public abstract void Succeed();

        public abstract void Fail(Exception exception);
    }

    private sealed class Write<T>(Func<T> apply) : Write
    {
        // Continuations elsewhere: the commit thread must not run its callers' code.
        private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private T? _result;

        public Task<T> Task => _done.Task;

        public override void Apply() => _result = apply();

        public override void Succeed() => _done.TrySetResult(_result!);

        public override void Fail(Exception exception) => _done.TrySetException(exception);
    }
}
