using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using RecBackend.Core.Storage;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Items;

namespace RecBackend.Grains.Counting;

/// <summary>
/// Carries what the users of this silo did to the items, gathered for up to a second: an item that everybody clicks costs one write a second, not one for each click. Every count is stored with its
/// user before, under the batch that it travels in; <see cref="CountLedger"/> makes it count once.
/// <para>
/// Batches end with the second of the clock, so that those of all silos reach a shard together and share its writes. Each shard gets its parts of the batches in their order, and none waits for another.
/// </para>
/// </summary>
internal sealed class ItemCounter : IAsyncDisposable
{
    private static readonly TimeSpan Span = TimeSpan.FromSeconds(1);

    // Timers are cut to whole milliseconds.
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(5);

    /// <summary>How long a batch waits for an item shard that does not answer; from then on events of its items are refused.</summary>
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);

    private readonly ItemShards _shards;
    private readonly IRoster _roster;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stop;
    private readonly SemaphoreSlim _wake = new(0);
    private readonly CancellationToken _stopped;
    private readonly Queue<Batch> _closed = new();
    private readonly HashSet<Batch> _sending = [];
    private readonly Lane[] _lanes;
    private readonly Task _work;
    private Batch _open;
    private bool _stopping;
    private bool _ended;
    private bool _renew;

    public ItemCounter(ItemShards shards, IRoster roster, EngineClock clock, ILogger<ItemCounter> log)
    {
        (_shards, _roster, _clock, _log) = (shards, roster, clock.Time, log);
        _stop = new(Timeout.InfiniteTimeSpan, _clock);
        _stopped = _stop.Token;
        _lanes = [.. Enumerable.Range(0, shards.Count).Select(shard => new Lane(shard))];
        _open = new(new(Incarnation.New(_clock), 1), _clock.GetTimestamp());
        _work = Task.Run(WorkAsync);
    }

    /// <summary>Takes a place in the open batch for counts that are about to be stored with their user.</summary>
    /// <exception cref="StorageException"><see cref="StorageException.Overloaded"/>: the shard of one of the items does not keep up.</exception>
    /// <param name="user">Key of the user's grain.</param>
    /// <param name="version">The user's version of the write.</param>
    /// <param name="counts">What it counts.</param>
    public Turn Join(string user, long version, ItemCount[] counts)
    {
        lock (_lock)
        {
            // While users are slow to be stored, the sender closes nothing.
            if (_open.LeftOut.ContainsKey(user) || _clock.GetElapsedTime(_open.Opened) > Span)
            {
                Close();
            }

            if (IsLate(_closed) || Array.Exists(counts, count => IsLate(LaneOf(count.Item).Waiting)))
            {
                throw new StorageException(StorageException.Overloaded, "Counts of many seconds wait for the items' storage already; try again later.");
            }

            if (_open.IsEmpty)
            {
                // A silo where nobody does anything has the same batch open for long.
                _open.Opened = _clock.GetTimestamp();
            }

            _open.Writing++;
            return new(this, _open, user, new(version, counts));
        }
    }

    /// <summary>Whether the counts of an item in a batch of this silo are durable with it.</summary>
    public bool IsCounted(CountBatch batch, string item)
    {
        lock (_lock)
        {
            return batch.Number <= LaneOf(item).Counted.GetValueOrDefault(batch.Incarnation);
        }
    }

    /// <summary>Sees to it that a user's part of a batch is counted, whoever was to send the batch.</summary>
    /// <returns>Whether it came alone, and not with the batch.</returns>
    /// <exception cref="StorageException"><see cref="StorageException.Unavailable"/>: this silo stops; another one will see to it.</exception>
    public async Task<bool> CountedAsync(CountBatch batch, string user, long version, ItemCount[] counts)
    {
        var parts = counts.GroupBy(count => _shards.Of(count.Item)).Select(part => (Shard: part.Key, Counts: part.ToArray())).ToList();
        List<Task> sent;
        lock (_lock)
        {
            ThrowIfEnded();
            if (_open.Id == batch)
            {
                Close();
                _wake.Release();
            }

            var own = Unsent.FirstOrDefault(unsent => unsent.Id == batch);
            sent = parts.ConvertAll(part => own?.SentAsync(part.Shard) ?? Task.CompletedTask);
        }

        try
        {
            var alone = await Task.WhenAll(parts.Zip(sent, async (part, withBatch) =>
            {
                await withBatch;
                return await TryUntilDoneAsync(() => _shards[part.Shard].CountAloneAsync(new(batch, user, version), new Immutable<ItemCount[]>(part.Counts)));
            }));
            return alone.Contains(true);
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            throw Ended();
        }
    }

    /// <summary>Sends what is gathered now; ends when it is durable with the items.</summary>
    public async Task FlushAsync()
    {
        Task[] waiting;
        lock (_lock)
        {
            ThrowIfEnded();
            Close();
            _wake.Release();
            waiting = [.. Unsent.Select(batch => batch.Done.Task)];
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
        await Task.WhenAll(_lanes.Select(lane => lane.Work));
        lock (_lock)
        {
            // What is not sent now, or comes still, is with its users: whoever activates them next sees to it.
            _ended = true;
            foreach (var batch in Unsent)
            {
                batch.End(Ended());
            }
        }

        await _stop.CancelAsync();
        _stop.Dispose();
    }

    private IEnumerable<Batch> Unsent => _sending.Concat(_closed);

    private Lane LaneOf(string item) => _lanes[_shards.Of(item)];

    private bool IsLate(Queue<Batch> waiting) => waiting.TryPeek(out var oldest) && _clock.GetElapsedTime(oldest.Opened) > LongestWait;

    private static StorageException Ended() => new(StorageException.Unavailable, "This silo stops and sends no counts any more. Nothing is lost; it is safe to send the call again.");

    private void ThrowIfEnded()
    {
        if (_ended)
        {
            throw Ended();
        }
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
                using var span = new CancellationTokenSource(Span - TimeSpan.FromTicks(_clock.GetUtcNow().Ticks % Span.Ticks) + Tick, _clock);
                await _wake.WaitAsync(span.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            Batch? batch;
            Task written;
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

                written = batch.WrittenAsync();
            }

            try
            {
                await written.WaitAsync(_stopped);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            Spread(batch);
        }
    }

    /// <summary>Queues the parts of the oldest closed batch at their shards.</summary>
    private void Spread(Batch batch)
    {
        lock (_lock)
        {
            _closed.Dequeue();
            _sending.Add(batch);
            foreach (var shard in batch.Spread(_shards.Of))
            {
                var lane = _lanes[shard];
                lane.Waiting.Enqueue(batch);
                if (lane.Waiting.Count == 1)
                {
                    lane.Work = Task.Run(() => DrainAsync(lane));
                }
            }
        }
    }

    /// <summary>Sends a shard what waits for it, one batch after the other.</summary>
    private async Task DrainAsync(Lane lane)
    {
        try
        {
            Batch? batch;
            lock (_lock)
            {
                batch = lane.Waiting.Peek();
            }

            while (batch is not null)
            {
                await SendAsync(batch.Id, batch.Of(lane.Shard), lane.Shard);
                batch = Sent(batch, lane);
            }
        }
        catch (OperationCanceledException) when (_stopped.IsCancellationRequested)
        {
            // Shutting down: whoever activates these users next sends their counts.
        }
    }

    /// <summary>Notes that a part is durable.</summary>
    /// <returns>The next one for the shard, or null.</returns>
    private Batch? Sent(Batch batch, Lane lane)
    {
        lock (_lock)
        {
            lane.Waiting.Dequeue();
            lane.Counted[batch.Id.Incarnation] = batch.Id.Number;
            if (batch.EndPart(lane.Shard))
            {
                _sending.Remove(batch);

                // Numbers go up, and all below those that are still to be sent are done.
                var through = Unsent.Append(_open).Where(unsent => unsent.Id.Incarnation == batch.Id.Incarnation).Select(unsent => unsent.Id.Number - 1).DefaultIfEmpty(batch.Id.Number).Min();
                _ = _roster.ForgetAsync(batch.Id, through);
            }

            return lane.Waiting.TryPeek(out var next) ? next : null;
        }
    }

    private async Task SendAsync(CountBatch batch, Part part, int shard)
    {
        ItemCount[] counts = [.. part.Writes.SelectMany(write => write.Counts).GroupBy(count => count.Item).Select(same => same.Aggregate((a, b) => a.And(b)))];
        if (await TryUntilDoneAsync(() => _shards[shard].CountAsync(batch, new(counts), [.. part.LeftOut])))
        {
            return;
        }

        lock (_lock)
        {
            // This incarnation is closed there for good.
            _renew |= _open.Id.Incarnation == batch.Incarnation;
        }

        foreach (var write in part.Writes)
        {
            await TryUntilDoneAsync(() => _shards[shard].CountAloneAsync(new(batch, write.User, write.UserVersion), new([.. write.Counts])));
        }
    }

    private async Task<bool> TryUntilDoneAsync(Func<Task<bool>> call)
    {
        for (var wait = TimeSpan.FromMilliseconds(50); ; wait = TimeSpan.FromTicks(Math.Min(wait.Ticks * 2, LongestRetry.Ticks)))
        {
            try
            {
                return await call().WaitAsync(_stopped);
            }
            catch (Exception error) when (!_stopped.IsCancellationRequested)
            {
                _log.LogWarning(error, "Counts of items could not be stored; tried again in {Delay}", wait);
                await Task.Delay(wait, _clock, _stopped);
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

    /// <summary>What waits for one shard.</summary>
    private sealed class Lane(int shard)
    {
        public int Shard => shard;

        /// <summary>Batches of which it gets a part, the one that is being sent among them.</summary>
        public Queue<Batch> Waiting { get; } = new();

        /// <summary>The last batch whose part is durable there, by incarnation.</summary>
        public Dictionary<Guid, long> Counted { get; } = [];

        public Task Work { get; set; } = Task.CompletedTask;
    }

    /// <summary>What one write of a user counts.</summary>
    internal readonly record struct Write(long UserVersion, ItemCount[] Counts);

    /// <summary>What a batch has for one shard.</summary>
    internal sealed class Part
    {
        public List<(string User, long UserVersion, List<ItemCount> Counts)> Writes { get; } = [];

        public HashSet<string> LeftOut { get; } = new(StringComparer.Ordinal);
    }

    internal sealed class Batch(CountBatch id, long opened)
    {
        private readonly TaskCompletionSource _written = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Dictionary<int, TaskCompletionSource> _awaitedParts = [];
        private Dictionary<int, Part>? _parts;
        private bool _awaited;

        public CountBatch Id { get; } = id;

        /// <summary>Timestamp of when it was opened or, once there is something in it, of when that began.</summary>
        public long Opened { get; set; } = opened;

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

        /// <summary>Splits it by shard.</summary>
        /// <returns>The shards that get a part.</returns>
        public IReadOnlyCollection<int> Spread(Func<string, int> shardOf)
        {
            var parts = new Dictionary<int, Part>();
            foreach (var (user, write) in Counts.SelectMany(user => user.Value, (user, write) => (user.Key, write)))
            {
                foreach (var own in write.Counts.GroupBy(count => shardOf(count.Item)))
                {
                    PartOf(own.Key).Writes.Add((user, write.UserVersion, [.. own]));
                }
            }

            foreach (var (user, count) in LeftOut.SelectMany(user => user.Value.SelectMany(write => write.Counts), (user, count) => (user.Key, count)))
            {
                PartOf(shardOf(count.Item)).LeftOut.Add(user);
            }

            _parts = parts;
            foreach (var (shard, waiting) in _awaitedParts.Where(one => !parts.ContainsKey(one.Key)))
            {
                waiting.SetResult();
            }

            return [.. parts.Keys];

            Part PartOf(int shard) => parts.TryGetValue(shard, out var part) ? part : parts[shard] = new();
        }

        /// <summary>The part of a shard that has not got it yet.</summary>
        public Part Of(int shard) => _parts![shard];

        /// <summary>Ends when a shard has its part, or gets none.</summary>
        public Task SentAsync(int shard)
        {
            if (_parts?.ContainsKey(shard) == false)
            {
                return Task.CompletedTask;
            }

            if (!_awaitedParts.TryGetValue(shard, out var waiting))
            {
                _awaitedParts.Add(shard, waiting = new(TaskCreationOptions.RunContinuationsAsynchronously));
            }

            return waiting.Task;
        }

        /// <summary>Notes that a shard has its part.</summary>
        /// <returns>Whether it was the last.</returns>
        public bool EndPart(int shard)
        {
            _parts!.Remove(shard);
            if (_awaitedParts.TryGetValue(shard, out var waiting))
            {
                waiting.SetResult();
            }

            if (_parts.Count > 0)
            {
                return false;
            }

            Done.SetResult();
            return true;
        }

        /// <summary>Tells those who wait that it is not sent.</summary>
        public void End(Exception reason)
        {
            Done.TrySetException(reason);
            foreach (var waiting in _awaitedParts.Values)
            {
                waiting.TrySetException(reason);
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
        public Task WrittenAsync()
        {
            _awaited = true;
            if (Writing == 0)
            {
                _written.TrySetResult();
            }

            return _written.Task;
        }
    }
}
