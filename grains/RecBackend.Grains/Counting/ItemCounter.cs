using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using RecBackend.Core.Storage;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Items;

namespace RecBackend.Grains.Counting;

/// <summary>
/// Carries what the users of this silo did to the items, gathered for up to a second: an item that everybody clicks costs one write a second, not one for each click. Every count is stored with its
/// user before, under the batch that it travels in; <see cref="CountLedger"/> makes it count once.
/// </summary>
internal sealed class ItemCounter : IAsyncDisposable
{
    private static readonly TimeSpan Span = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(5);

    /// <summary>Batches that wait for item shards that do not answer; beyond them events are refused.</summary>
    private const int MostWaiting = 30;

    private readonly ItemShards _shards;
    private readonly IRoster _roster;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _wake = new(0);
    private readonly Queue<Batch> _closed = new();
    private readonly Dictionary<Guid, long> _counted = [];
    private readonly Task _work;
    private Batch _open;
    private bool _stopping;
    private bool _renew;

    public ItemCounter(ItemShards shards, IRoster roster, EngineClock clock, ILogger<ItemCounter> log)
    {
        (_shards, _roster, _clock, _log) = (shards, roster, clock.Time, log);
        _open = new(new(Incarnation.New(_clock), 1), _clock.GetTimestamp());
        _work = Task.Run(WorkAsync);
    }

    /// <summary>Takes a place in the open batch for counts that are about to be stored with their user.</summary>
    /// <exception cref="StorageException"><see cref="StorageException.Overloaded"/>: the item shards do not keep up.</exception>
    /// <param name="user">Key of the user's grain.</param>
    /// <param name="version">The user's version of the write.</param>
    /// <param name="counts">What it counts.</param>
    public Turn Join(string user, long version, ItemCount[] counts)
    {
        lock (_lock)
        {
            // While shards do not answer, the sender closes nothing.
            if (_open.LeftOut.ContainsKey(user) || _clock.GetElapsedTime(_open.Opened) > Span)
            {
                Close();
            }

            if (_closed.Count > MostWaiting)
            {
                throw new StorageException(StorageException.Overloaded, "Counts of many seconds wait for the items' storage already; try again later.");
            }

            _open.Writing++;
            return new(this, _open, user, new(version, counts));
        }
    }

    /// <summary>Whether all counts of a batch of this silo are durable with their items.</summary>
    public bool IsCounted(CountBatch batch)
    {
        lock (_lock)
        {
            return batch.Number <= _counted.GetValueOrDefault(batch.Incarnation);
        }
    }

    /// <summary>Sees to it that a user's part of a batch is counted, whoever was to send the batch.</summary>
    /// <returns>Whether it came alone, and not with the batch.</returns>
    public async Task<bool> CountedAsync(CountBatch batch, string user, long version, ItemCount[] counts)
    {
        Batch? own;
        lock (_lock)
        {
            if (_open.Id == batch)
            {
                Close();
                _wake.Release();
            }

            own = _closed.FirstOrDefault(closed => closed.Id == batch);
        }

        if (own is not null)
        {
            await own.Done.Task;
        }

        var alone = await Task.WhenAll(counts.GroupBy(count => _shards.Of(count.Item)).Select(part =>
            TryUntilDoneAsync(() => _shards[part.Key].CountAloneAsync(new(batch, user, version), new Immutable<ItemCount[]>([.. part])))));
        return alone.Contains(true);
    }

    /// <summary>Sends what is gathered now; ends when it is durable with the items.</summary>
    public async Task FlushAsync()
    {
        Task[] waiting;
        lock (_lock)
        {
            Close();
            _wake.Release();
            waiting = [.. _closed.Select(batch => batch.Done.Task)];
        }

        await Task.WhenAll(waiting);
    }

    /// <summary>Sends what is gathered, and ends.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            if (_stopping)
            {
                return;
            }

            _stopping = true;
            Close();
        }

        _stop.CancelAfter(LongestRetry);
        _wake.Release();
        await _work;
        _stop.Dispose();
    }

    private void Close()
    {
        var renew = _renew || _clock.GetUtcNow().ToUnixTimeMilliseconds() - Incarnation.Began(_open.Id.Incarnation) > Incarnation.Longest.TotalMilliseconds;
        if (!_open.IsEmpty)
        {
            _closed.Enqueue(_open);
        }
        else if (!renew)
        {
            return;
        }

        _open = new(renew ? new(Incarnation.New(_clock), 1) : _open.Id with { Number = _open.Id.Number + 1 }, _clock.GetTimestamp());
        _renew = false;
    }

    private async Task WorkAsync()
    {
        while (true)
        {
            bool hurry;
            lock (_lock)
            {
                hurry = _closed.Count > 0 || _stopping;
            }

            if (!hurry)
            {
                using var span = new CancellationTokenSource(Span, _clock);
                await _wake.WaitAsync(span.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            Batch? batch;
            lock (_lock)
            {
                if (_closed.Count == 0)
                {
                    Close();
                }

                if (!_closed.TryPeek(out batch))
                {
                    if (_stopping)
                    {
                        return;
                    }

                    continue;
                }
            }

            try
            {
                await SendAsync(batch);
            }
            catch (OperationCanceledException)
            {
                // Shutting down: whoever activates these users next sends their counts.
                return;
            }
        }
    }

    private async Task SendAsync(Batch batch)
    {
        await batch.WrittenAsync(_stop.Token);
        var touched = batch.Counts.Values.Concat(batch.LeftOut.Values).SelectMany(writes => writes).SelectMany(write => write.Counts).Select(count => _shards.Of(count.Item)).ToHashSet();
        await Task.WhenAll(touched.Select(shard => SendAsync(batch, shard)));
        lock (_lock)
        {
            _counted[batch.Id.Incarnation] = batch.Id.Number;
            _closed.Dequeue();
        }

        batch.Done.SetResult();
        _ = _roster.ForgetAsync(batch.Id);
    }

    private async Task SendAsync(Batch batch, int shard)
    {
        var byUser = batch.Counts.ToDictionary(user => user.Key, user => user.Value.ConvertAll(write => write with { Counts = OfShard(write) }));
        ItemCount[] counts = [.. byUser.Values.SelectMany(writes => writes).SelectMany(write => write.Counts).GroupBy(count => count.Item).Select(same => same.Aggregate((a, b) => a.And(b)))];
        string[] leftOut = [.. batch.LeftOut.Where(user => user.Value.Exists(write => OfShard(write).Length > 0)).Select(user => user.Key)];
        if (await TryUntilDoneAsync(() => _shards[shard].CountAsync(batch.Id, new(counts), leftOut)))
        {
            return;
        }

        lock (_lock)
        {
            // This incarnation is closed there for good.
            _renew |= _open.Id.Incarnation == batch.Id.Incarnation;
        }

        foreach (var (user, writes) in byUser)
        {
            foreach (var write in writes.Where(write => write.Counts.Length > 0))
            {
                await TryUntilDoneAsync(() => _shards[shard].CountAloneAsync(new(batch.Id, user, write.UserVersion), new(write.Counts)));
            }
        }

        ItemCount[] OfShard(Write write) => Array.FindAll(write.Counts, count => _shards.Of(count.Item) == shard);
    }

    private async Task<bool> TryUntilDoneAsync(Func<Task<bool>> call)
    {
        for (var wait = TimeSpan.FromMilliseconds(50); ; wait = TimeSpan.FromTicks(Math.Min(wait.Ticks * 2, LongestRetry.Ticks)))
        {
            try
            {
                return await call().WaitAsync(_stop.Token);
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                _log.LogWarning(error, "Counts of items could not be stored; tried again in {Delay}", wait);
                await Task.Delay(wait, _clock, _stop.Token);
            }
        }
    }

    /// <summary>A place in a batch. Either <see cref="Confirm"/> or <see cref="LeaveOut"/> must be called; a turn that is only disposed leaves its counts out.</summary>
    public sealed class Turn : IDisposable
    {
        private readonly ItemCounter _counter;
        private readonly Batch _batch;
        private readonly string _user;
        private readonly Write _write;
        private bool _ended;

        internal Turn(ItemCounter counter, Batch batch, string user, Write write) => (_counter, _batch, _user, _write) = (counter, batch, user, write);

        /// <summary>The user's version of the write.</summary>
        public long UserVersion => _write.UserVersion;

        /// <summary>Ends when another silo knows that the user has counts in the batch, should this silo not live to send it.</summary>
        public Task NoteAsync() => _counter._roster.NoteAsync(new(_batch.Id, _user));

        /// <summary>The batch, to be stored with the user.</summary>
        public CountBatch Batch => _batch.Id;

        /// <summary>The counts are durable with their user and go with the batch.</summary>
        public void Confirm() => End(() => ItemCounter.Batch.Add(_batch.Counts, _user, [_write]));

        /// <summary>Nobody knows whether the counts were stored. All that the user has in the batch is left out of it, and comes alone with the user's next activation.</summary>
        public void LeaveOut() => End(() =>
        {
            ItemCounter.Batch.Add(_batch.LeftOut, _user, [_write]);
            if (_batch.Counts.Remove(_user, out var confirmed))
            {
                ItemCounter.Batch.Add(_batch.LeftOut, _user, confirmed);
            }
        });

        public void Dispose()
        {
            if (!_ended)
            {
                LeaveOut();
            }
        }

        private void End(Action change)
        {
            lock (_counter._lock)
            {
                if (_ended)
                {
                    return;
                }

                _ended = true;
                change();
                _batch.Writing--;
                _batch.TellIfWritten();
            }
        }
    }

    /// <summary>What one write of a user counts.</summary>
    internal readonly record struct Write(long UserVersion, ItemCount[] Counts);

    internal sealed class Batch(CountBatch id, long opened)
    {
        private readonly TaskCompletionSource _written = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private bool _awaited;

        public CountBatch Id { get; } = id;

        public long Opened => opened;

        /// <summary>Users who store counts of this batch right now.</summary>
        public int Writing { get; set; }

        public Dictionary<string, List<Write>> Counts { get; } = new(StringComparer.Ordinal);

        public Dictionary<string, List<Write>> LeftOut { get; } = new(StringComparer.Ordinal);

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool IsEmpty => Writing == 0 && Counts.Count == 0 && LeftOut.Count == 0;

        public static void Add(Dictionary<string, List<Write>> to, string user, IEnumerable<Write> writes)
        {
            if (to.TryGetValue(user, out var known))
            {
                known.AddRange(writes);
            }
            else
            {
                to.Add(user, [.. writes]);
            }
        }

        public void TellIfWritten()
        {
            if (_awaited && Writing == 0)
            {
                _written.TrySetResult();
            }
        }

        /// <summary>Waits until nobody stores counts of this batch any more. It must be closed.</summary>
        public Task WrittenAsync(CancellationToken cancellation)
        {
            _awaited = true;
            if (Writing == 0)
            {
                _written.TrySetResult();
            }

            return _written.Task.WaitAsync(cancellation);
        }
    }
}
