using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using RecBackend.Core.Items;

namespace RecBackend.Core.Models;

/// <summary>
/// Items whose content changed without a representation for every model that is kept: encoded in the background, in the order of their changes.
/// An item is held by its ID alone and read again when its turn comes, so a burst of changes costs little memory and one encoding.
/// <para>What is another host's to encode waits for that one first, and is done here only if its row has not come by then.</para>
/// </summary>
internal sealed class EncodingBacklog : IAsyncDisposable
{
    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(30);

    /// <summary>For so long others are waited for.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly IItemDirectory _items;
    private readonly RepresentationWriter _writer;
    private readonly Func<IReadOnlyList<ServingModel>> _models;
    private readonly int _batch;
    private readonly Channel<Entry> _queue = Channel.CreateUnbounded<Entry>(new() { SingleReader = true });
    private readonly HashSet<string> _queued = new(StringComparer.Ordinal);
    private readonly Queue<Waiting> _ofOthers = new();
    private readonly Dictionary<string, long> _versionsOfOthers = new(StringComparer.Ordinal);
    private readonly IEncodingDuty? _duty;
    private readonly Func<string, long, bool> _isDone;
    private readonly TimeProvider _clock;
    private readonly CancellationTokenSource _stop = new();
    private readonly ILogger _log;
    private readonly Task _work;

    // Of the worker alone.
    private readonly Dictionary<string, Exception> _failed = new(StringComparer.Ordinal);
    private TimeSpan _retryAfter = FirstRetry;

    /// <summary>Starts to work.</summary>
    /// <param name="items">Where items are.</param>
    /// <param name="models">The models that are kept now.</param>
    /// <param name="batch">Items of one call of an encoder.</param>
    /// <param name="log">Told what fails.</param>
    /// <param name="isDone">Whether all catalogues have the row of an item that goes with one of its versions.</param>
    /// <param name="duty">What is this host's to encode; null = all.</param>
    /// <param name="clock">The time that others have.</param>
    public EncodingBacklog(
        IItemDirectory items, Func<IReadOnlyList<ServingModel>> models, int batch, ILogger log, Func<string, long, bool> isDone, IEncodingDuty? duty, TimeProvider clock)
    {
        _log = log;
        (_isDone, _duty, _clock) = (isDone, duty, clock);
        _items = items;
        _writer = new(items);
        _models = models;
        _batch = batch;
        _work = Task.Run(WorkAsync);
    }

    /// <summary>Queues an item, unless it waits already.</summary>
    public void Add(string id)
    {
        lock (_queued)
        {
            if (_queued.Add(id))
            {
                _queue.Writer.TryWrite(new(id, null));
            }
        }
    }

    /// <summary>Queues an item that has changed: at once if it is this host's to encode, else for when its host has had its time.</summary>
    /// <param name="id">The item.</param>
    /// <param name="version">Its version after the change.</param>
    public void Add(string id, long version)
    {
        if (_duty is null || _duty.IsMine(id))
        {
            Add(id);
            return;
        }

        lock (_queued)
        {
            if (!_versionsOfOthers.TryAdd(id, version))
            {
                _versionsOfOthers[id] = version;
                return;
            }

            _ofOthers.Enqueue(new(id, _clock.GetTimestamp()));
            if (_ofOthers.Count == 1)
            {
                _queue.Writer.TryWrite(default);
            }
        }
    }

    /// <summary>Waits until everything that was queued before is done. What failed before is tried again first.</summary>
    /// <returns>The items that an encoder breaks on; they stay queued.</returns>
    /// <exception cref="Exception">Some of the others cannot be done now; what stopped it. They stay queued.</exception>
    public Task<IReadOnlyList<EncodingFailure>> CatchUpAsync(CancellationToken cancellation)
    {
        var mark = new TaskCompletionSource<IReadOnlyList<EncodingFailure>>(TaskCreationOptions.RunContinuationsAsynchronously);
        return _queue.Writer.TryWrite(new(null, mark)) ? mark.Task.WaitAsync(cancellation) : Task.FromResult<IReadOnlyList<EncodingFailure>>([]);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        await _stop.CancelAsync();
        await _work;
        _stop.Dispose();
    }

    private async Task WorkAsync()
    {
        var ids = new List<string>(_batch);
        var marks = new List<TaskCompletionSource<IReadOnlyList<EncodingFailure>>>();
        while (await WaitAsync())
        {
            while (ids.Count < _batch && _queue.Reader.TryRead(out var entry))
            {
                if (entry.Id is { } id)
                {
                    ids.Add(id);
                }

                if (entry.Mark is { } mark)
                {
                    marks.Add(mark);
                }
            }

            ids.AddRange(TakeOfOthers(all: marks.Count > 0));
            Exception? failure = null;
            foreach (var batch in ids.Chunk(_batch))
            {
                failure = await EncodeAsync(batch) ?? failure;
            }

            // While much is queued, what failed waits: but not if somebody asks whether all is done.
            if (ids.Count == 0 || marks.Count > 0)
            {
                failure = await RetryAsync() ?? failure;
            }

            marks.ForEach(mark => Complete(mark, failure));
            ids.Clear();
            marks.Clear();
        }

        void Complete(TaskCompletionSource<IReadOnlyList<EncodingFailure>> mark, Exception? failure)
        {
            if (failure is null)
            {
                mark.TrySetResult([.. _failed.Select(one => new EncodingFailure(one.Key, one.Value))]);
            }
            else
            {
                mark.TrySetException(failure);
            }
        }
    }

    /// <summary>Those whose hosts have had their time and did not do it; or all that are not done.</summary>
    private List<string> TakeOfOthers(bool all)
    {
        var taken = new List<string>();
        lock (_queued)
        {
            while (_ofOthers.TryPeek(out var first) && (all || _clock.GetElapsedTime(first.Since) >= Patience))
            {
                _ofOthers.Dequeue();
                _versionsOfOthers.Remove(first.Id, out var version);
                if (!_isDone(first.Id, version))
                {
                    taken.Add(first.Id);
                }
            }
        }

        return taken;
    }

    /// <summary>How long nothing is to be done if nothing comes; null = for ever.</summary>
    private TimeSpan? Rest()
    {
        TimeSpan? rest = _failed.Count > 0 ? _retryAfter : null;
        lock (_queued)
        {
            if (_ofOthers.TryPeek(out var first) && Patience - _clock.GetElapsedTime(first.Since) is var left && !(left > rest))
            {
                rest = left > TimeSpan.Zero ? left : TimeSpan.Zero;
            }
        }

        return rest;
    }

    /// <summary>Waits for entries, or until it is time for what others should have done, or to try again what failed.</summary>
    /// <returns>False at the end of the work.</returns>
    private async Task<bool> WaitAsync()
    {
        if (Rest() is not { } rest)
        {
            return await _queue.Reader.WaitToReadAsync();
        }

        using var patience = new CancellationTokenSource(rest, _clock);
        try
        {
            return await _queue.Reader.WaitToReadAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }

    /// <summary>Tries again what failed, until the first time that none of some succeeds.</summary>
    /// <returns>What failed for another reason than that an encoder broke on it, or null.</returns>
    private async Task<Exception?> RetryAsync()
    {
        Exception? failure = null;
        foreach (var ids in _failed.Keys.Chunk(_batch).ToArray())
        {
            Array.ForEach(ids, id => _failed.Remove(id));
            var stopped = await EncodeAsync(ids);
            failure = stopped ?? failure;
            if (stopped is not null && Array.TrueForAll(ids, _failed.ContainsKey))
            {
                break;
            }
        }

        _retryAfter = _failed.Count == 0 ? FirstRetry : TimeSpan.FromTicks(Math.Min(_retryAfter.Ticks * 2, LongestRetry.Ticks));
        return failure;
    }

    /// <summary>Encodes items for every model that is kept; those that fail are kept for another try.</summary>
    /// <returns>What stopped it, or null: also if encoders broke on single items.</returns>
    private async Task<Exception?> EncodeAsync(IReadOnlyList<string> ids)
    {
        lock (_queued)
        {
            // Before they are read: a change that comes from here on queues its item again.
            foreach (var id in ids)
            {
                _queued.Remove(id);
            }
        }

        try
        {
            Task<ItemRecord?>[] reads = [.. ids.Select(id => _items.GetAsync(id, _stop.Token).AsTask())];
            await ((Task)Task.WhenAll(reads)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _stop.Token.ThrowIfCancellationRequested();
            var records = reads.Where(read => read.IsCompletedSuccessfully).Select(read => read.Result).OfType<ItemRecord>().ToList();
            foreach (var serving in _models())
            {
                await EncodeAsync(serving, records.FindAll(record => record.RepresentationFor(serving.Version) is null));
            }

            // One that cannot be read holds no other up.
            Exception? failure = null;
            foreach (var (id, read) in ids.Zip(reads).Where(one => !one.Second.IsCompletedSuccessfully))
            {
                failure = read.Exception?.InnerException ?? new OperationCanceledException();
                Keep([id], failure);
            }

            return failure;
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Shutting down. What was not encoded still lacks its representation, and is encoded at the next start.
            return null;
        }
        catch (Exception error)
        {
            Keep(ids, error);
            return error;
        }
    }

    private void Keep(IReadOnlyList<string> ids, Exception error)
    {
        foreach (var id in ids)
        {
            _failed[id] = error;
        }

        Telemetry.EncodingFailed(error, ids.Count);
        _log.LogError(error, "{Count} items could not be encoded, {Id} among them; tried again in {Delay}", ids.Count, ids[0], _retryAfter);
    }

    private async Task EncodeAsync(ServingModel serving, List<ItemRecord> lacking)
    {
        if (lacking.Count == 0 || !serving.TryHold())
        {
            return;
        }

        try
        {
            foreach (var failure in await _writer.EncodeEachAsync(serving.Model, lacking, progress: null, _stop.Token))
            {
                Keep([failure.Item], failure.Reason);
            }
        }
        finally
        {
            serving.Release();
        }
    }

    private readonly record struct Waiting(string Id, long Since);

    private readonly record struct Entry(string? Id, TaskCompletionSource<IReadOnlyList<EncodingFailure>>? Mark);
}
