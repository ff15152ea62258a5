using System.Threading.Channels;
using RecBackend.Core.Items;

namespace RecBackend.Core.Models;

/// <summary>
/// Items whose content changed without a representation for every model that is kept: encoded in the background, in the order of their changes.
/// An item is held by its ID alone and read again when its turn comes, so a burst of changes costs little memory and one encoding.
/// </summary>
internal sealed class EncodingBacklog : IAsyncDisposable
{
    private readonly IItemDirectory _items;
    private readonly RepresentationWriter _writer;
    private readonly Func<IReadOnlyList<ServingModel>> _models;
    private readonly int _batch;
    private readonly Channel<Entry> _queue = Channel.CreateUnbounded<Entry>(new() { SingleReader = true });
    private readonly HashSet<string> _queued = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _work;

    /// <summary>Starts to work.</summary>
    /// <param name="items">Where items are.</param>
    /// <param name="models">The models that are kept now.</param>
    /// <param name="batch">Items of one call of an encoder.</param>
    public EncodingBacklog(IItemDirectory items, Func<IReadOnlyList<ServingModel>> models, int batch)
    {
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

    /// <summary>Waits until everything that was queued before is done.</summary>
    public Task CatchUpAsync(CancellationToken cancellation)
    {
        var mark = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return _queue.Writer.TryWrite(new(null, mark)) ? mark.Task.WaitAsync(cancellation) : Task.CompletedTask;
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
        var marks = new List<TaskCompletionSource>();
        while (await _queue.Reader.WaitToReadAsync())
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

            await EncodeAsync(ids);
            marks.ForEach(mark => mark.TrySetResult());
            ids.Clear();
            marks.Clear();
        }
    }

    private async Task EncodeAsync(List<string> ids)
    {
        lock (_queued)
        {
            // Before they are read: a change that comes from here on queues its item again.
            ids.ForEach(id => _queued.Remove(id));
        }

        try
        {
            var records = new List<ItemRecord>(ids.Count);
            foreach (var id in ids)
            {
                if (await _items.GetAsync(id, _stop.Token) is { } record)
                {
                    records.Add(record);
                }
            }

            foreach (var serving in _models())
            {
                await EncodeAsync(serving, records.FindAll(record => record.RepresentationFor(serving.Version) is null));
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Shutting down. What was not encoded still lacks its representation, and is encoded at the next start.
        }
        catch (Exception error)
        {
            // Nothing is lost but time: the items keep their former rows until they change again, the host restarts, or a warm-up runs.
            Telemetry.EncodingFailed(error, ids.Count);
        }
    }

    private async Task EncodeAsync(ServingModel serving, List<ItemRecord> lacking)
    {
        if (lacking.Count == 0 || !serving.TryHold())
        {
            return;
        }

        try
        {
            await _writer.EncodeAsync(serving.Model, lacking, progress: null, _stop.Token);
        }
        finally
        {
            serving.Release();
        }
    }

    private readonly record struct Entry(string? Id, TaskCompletionSource? Mark);
}
