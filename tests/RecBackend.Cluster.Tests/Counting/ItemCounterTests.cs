using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Concurrency;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Storage;
using RecBackend.Core.Tests;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Items;

namespace RecBackend.Cluster.Tests.Counting;

/// <summary>How counts travel from users to shards: in what batches, and what becomes of them where a shard refuses, hangs or comes back.</summary>
public sealed class ItemCounterTests : IAsyncLifetime
{
    private const int Shards = 2;

    private readonly ManualTime _time = new();
    private readonly ConcurrentQueue<string> _forgotten = new();
    private readonly ShardOfCounts[] _shards = [new(), new()];
    private readonly ItemShards _routes;
    private readonly ItemCounter _counter;

    public ItemCounterTests()
    {
        var grains = _shards.Select(shard => shard.Grain).ToArray();
        _routes = new(Fake.Grains((_, key) => grains[ItemShards.Parse((long)key).Shard]), Shards);
        var roster = Fake.Of<IRoster>((method, arguments) =>
        {
            if (method.Name == nameof(IRoster.ForgetAsync))
            {
                _forgotten.Enqueue($"{((CountBatch)arguments[0]!).Number} through {arguments[1]}");
            }

            return Task.CompletedTask;
        });
        _counter = new(_routes, roster, new EngineClock(_time), NullLogger<ItemCounter>.Instance);
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        var ended = _counter.DisposeAsync().AsTask();
        await PassUntilAsync(() => ended.IsCompleted);
    }

    [Fact]
    public async Task Counts_of_a_second_travel_together_added_by_item()
    {
        await _time.NextWaitAsync();
        var batch = Count("u1", 1, Item(0), Item(1));
        _time.Advance(TimeSpan.FromSeconds(0.4));
        Assert.Equal(batch, Count("u2", 1, Item(0)));
        _time.Advance(TimeSpan.FromSeconds(0.4));
        Assert.Equal(batch, Count("u1", 2, Item(0)));
        Assert.False(_counter.IsCounted(batch, Item(0)));
        Assert.Empty(_shards[0].Counted);

        _time.Advance(TimeSpan.FromSeconds(0.4));
        Assert.Equal([(batch, $"{Item(0)}:3")], await _shards[0].TakeAsync(1));
        Assert.Equal([(batch, $"{Item(1)}:1")], await _shards[1].TakeAsync(1));
        await _counter.FlushAsync();
        Assert.True(_counter.IsCounted(batch, Item(0)));
        Assert.Equal(batch with { Number = 2 }, Count("u1", 3, Item(0)));
        await PassUntilAsync(() => !_forgotten.IsEmpty);
        Assert.Equal("1 through 1", _forgotten.First());
    }

    [Fact]
    public async Task Batch_waits_for_those_who_are_being_stored_and_leaves_out_those_who_failed()
    {
        var (stored, failed) = (_counter.Join("u1", 1, [One(Item(0))]), _counter.Join("u2", 1, [One(Item(0))]));
        var flushed = _counter.FlushAsync();
        failed.Dispose();

        // A batch that comes later is sent later: this one would be the first, without u1.
        var next = Count("u3", 1, Item(1));
        Assert.NotEqual(stored.Batch, next);
        Assert.False(_counter.IsCounted(stored.Batch, Item(0)));
        stored.Confirm();
        await flushed;
        Assert.Equal([(stored.Batch, $"{Item(0)}:1 without u2")], await _shards[0].TakeAsync(1));
    }

    [Fact]
    public async Task Refused_batch_comes_alone_and_the_next_one_is_of_a_new_incarnation()
    {
        _shards[0].Refuses = _ => true;
        var refused = Count("u1", 1, Item(0), Item(1));
        Count("u1", 2, Item(0));
        Count("u2", 1, Item(0));
        await _counter.FlushAsync();
        Assert.Equal([$"{Item(0)}:1 of u1/1", $"{Item(0)}:1 of u1/2", $"{Item(0)}:1 of u2/1"], _shards[0].Alone.Order());
        Assert.Equal([(refused, $"{Item(1)}:1")], await _shards[1].TakeAsync(1));

        // What was open while it was refused is of the old one still: it is closed, and the one after it is new.
        await NextIncarnationAsync(refused);
        _shards[0].Refuses = batch => batch.Incarnation == refused.Incarnation;
        var next = Count("u1", 9, Item(0));
        await _counter.FlushAsync();
        Assert.Equal([(next, $"{Item(0)}:1")], await _shards[0].TakeAsync(1));
        Assert.True(_counter.IsCounted(refused, Item(0)));
    }

    [Fact]
    public async Task Incarnation_is_used_for_a_day()
    {
        var first = Count("u", 1, Item(0));
        await _counter.FlushAsync();
        _time.Advance(Incarnation.Longest - TimeSpan.FromMinutes(1));
        Assert.Equal(first.Incarnation, Count("u", 2, Item(0)).Incarnation);
        await _counter.FlushAsync();
        _time.Advance(TimeSpan.FromMinutes(2));
        var next = Count("u", 3, Item(0));
        Assert.NotEqual(first.Incarnation, next.Incarnation);
        Assert.Equal(_time.GetUtcNow().ToUnixTimeMilliseconds(), Incarnation.Began(next.Incarnation));
    }

    [Fact]
    public async Task Stuck_shard_holds_batches_back_but_they_stay_small_and_are_refused_before_they_are_too_many()
    {
        var held = _shards[0].Hold();
        var batches = new HashSet<CountBatch> { Count("u", 1, Item(0)) };
        var flushed = _counter.FlushAsync();
        var version = 2;
        var refused = Assert.Throws<StorageException>(() =>
        {
            for (; version < 1_000; version++)
            {
                batches.Add(Count("u", version, Item(0), Item(1)));
                _time.Advance(TimeSpan.FromSeconds(1.1));
            }
        });
        Assert.Equal(StorageException.Overloaded, refused.Code);

        // One second each, no more.
        Assert.Equal(version - 1, batches.Count);

        held.SetResult();
        await flushed;
        await _counter.FlushAsync();
        Assert.All(batches, batch => Assert.True(_counter.IsCounted(batch, Item(0))));
        Assert.Equal(batches.Count, (await _shards[0].TakeAsync(batches.Count)).Select(one => one.Batch).Distinct().Count());
        Count("u", version, Item(0));
    }

    [Fact]
    public async Task Stuck_shard_refuses_by_the_time_that_counts_wait_and_not_by_their_batches()
    {
        var held = _shards[0].Hold();
        var flushes = new List<Task>();
        for (var version = 1; version <= 100; version++)
        {
            Count("u", version, Item(0));
            flushes.Add(_counter.FlushAsync());
        }

        _time.Advance(TimeSpan.FromSeconds(30));
        Count("u", 101, Item(0));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Throws<StorageException>(() => Count("u", 102, Item(0)));
        held.SetResult();
        await Task.WhenAll(flushes);
        Count("u", 102, Item(0));
    }

    [Fact]
    public async Task Counter_where_nothing_was_done_for_long_takes_all_that_comes_at_once()
    {
        Count("u1", 1, Item(0));
        await _counter.FlushAsync();
        _time.Advance(TimeSpan.FromMinutes(1));
        var batch = Count("u1", 2, Item(0));
        Assert.Equal(batch, Count("u2", 1, Item(0)));
        Assert.Equal(batch, Count("u1", 3, Item(0)));
        await _counter.FlushAsync();
        Assert.True(_counter.IsCounted(batch, Item(0)));
    }

    [Fact]
    public async Task Call_that_fails_is_sent_again_until_it_succeeds()
    {
        _shards[0].FailsTimes = 3;
        var batch = Count("u", 1, Item(0));
        var flushed = _counter.FlushAsync();
        await PassUntilAsync(() => flushed.IsCompleted);
        Assert.Equal([(batch, $"{Item(0)}:1")], await _shards[0].TakeAsync(1));
    }

    [Fact]
    public async Task Stuck_shard_holds_nothing_back_of_the_items_of_others()
    {
        var held = _shards[0].Hold();
        var first = Count("u", 1, Item(0), Item(1));
        var version = 2;
        Assert.Throws<StorageException>(() =>
        {
            for (; version < 1_000; version++)
            {
                Count("u", version, Item(0));
                _time.Advance(TimeSpan.FromSeconds(1.1));
            }
        });

        // A user whose items are elsewhere is neither refused, once what is closed has gone to the shards, nor waited for.
        CountBatch elsewhere = default;
        await PassUntilAsync(() => TryCount("u", version, Item(1), out elsewhere));
        await PassUntilAsync(() => _counter.IsCounted(elsewhere, Item(1)) && !_forgotten.IsEmpty);
        Assert.Equal([(first, $"{Item(1)}:1"), (elsewhere, $"{Item(1)}:1")], await _shards[1].TakeAsync(2));
        Assert.False(_counter.IsCounted(first, Item(0)));

        // Of the batches before it only those that are whole.
        Assert.Equal([$"{elsewhere.Number} through {first.Number - 1}"], _forgotten);
        held.SetResult();
        await _counter.FlushAsync();
        Assert.True(_counter.IsCounted(first, Item(0)));
    }

    [Fact]
    public async Task Part_of_an_own_batch_comes_alone_only_after_the_batch_was_sent()
    {
        var held = _shards[0].HoldBatches();
        var batch = Count("u", 1, Item(0));
        var counted = _counter.CountedAsync(batch, "u", 1, [One(Item(0))]);

        // It would come at once, and before the batch.
        await _shards[0].CalledAsync();
        Assert.Empty(_shards[0].Alone);

        // The shard says that it came with the batch.
        _shards[0].KnowsAlone = true;
        held.SetResult();
        Assert.False(await counted);
        Assert.Equal([(batch, $"{Item(0)}:1")], await _shards[0].TakeAsync(1));
        Assert.Equal([$"{Item(0)}:1 of u/1"], _shards[0].Alone);

        // A batch of another silo is not waited for.
        _shards[0].KnowsAlone = false;
        Assert.True(await _counter.CountedAsync(new(Guid.NewGuid(), 5), "u", 7, [One(Item(0))]));
        Assert.Contains($"{Item(0)}:1 of u/7", _shards[0].Alone);
    }

    [Fact]
    public async Task Call_that_another_silo_cancels_is_sent_again()
    {
        _shards[0].FailsTimes = 1;
        _shards[0].FailsWith = new TaskCanceledException();
        var batch = Count("u", 1, Item(0));
        var flushed = _counter.FlushAsync();
        await PassUntilAsync(() => flushed.IsCompleted);
        Assert.Equal([(batch, $"{Item(0)}:1")], await _shards[0].TakeAsync(1));
    }

    [Fact]
    public async Task Part_of_a_batch_is_not_waited_for_at_shards_that_do_not_have_it()
    {
        var held = _shards[1].Hold();
        var batch = Count("u1", 1, Item(0));
        Assert.Equal(batch, Count("u2", 1, Item(1)));
        Assert.True(await _counter.CountedAsync(batch, "u1", 1, [One(Item(0))]).WaitAsync(TimeSpan.FromMinutes(1)));
        Assert.False(_counter.IsCounted(batch, Item(1)));
        held.SetResult();
    }

    [Fact]
    public async Task Counter_that_ends_keeps_nobody_waiting_for_what_it_did_not_send()
    {
        _shards[0].Hold();
        var unsent = Count("u", 1, Item(0));
        var waits = _counter.CountedAsync(unsent, "u", 1, [One(Item(0))]);
        var flushes = _counter.FlushAsync();
        await DisposeAsync();
        Assert.Equal(StorageException.Unavailable, (await Assert.ThrowsAsync<StorageException>(() => waits)).Code);
        await Assert.ThrowsAsync<StorageException>(() => flushes);

        // What is stored with its user after that is found there by whoever is next.
        var late = Count("u", 2, Item(1));
        await Assert.ThrowsAsync<StorageException>(() => _counter.CountedAsync(late, "u", 2, [One(Item(1))]));
        Assert.Empty(_shards[1].Counted);
    }

    /// <summary>Lets seconds pass: whoever waits for time may begin to wait only after some have passed.</summary>
    private async Task PassUntilAsync(Func<bool> done)
    {
        for (var tries = 0; !done(); tries++)
        {
            Assert.InRange(tries, 0, 10_000);
            await Task.Delay(1);
            _time.Advance(TimeSpan.FromSeconds(1));
        }
    }

    private async Task NextIncarnationAsync(CountBatch after)
    {
        for (var version = 3; version < 10 && Count("u3", version, Item(1)).Incarnation == after.Incarnation; version++)
        {
            await _counter.FlushAsync();
        }
    }

    private bool TryCount(string user, long version, string item, out CountBatch batch)
    {
        try
        {
            batch = Count(user, version, item);
            return true;
        }
        catch (StorageException)
        {
            batch = default;
            return false;
        }
    }

    private CountBatch Count(string user, long version, params string[] items)
    {
        using var turn = _counter.Join(user, version, Array.ConvertAll(items, One));
        turn.Confirm();
        return turn.Batch;
    }

    private string Item(int shard) => Enumerable.Range(0, 100).Select(i => $"i{i}").First(item => _routes.Of(item) == shard);

    private static ItemCount One(string item) => new(item, 0, 1, 1);

    /// <summary>What a shard is asked to count.</summary>
    private sealed class ShardOfCounts
    {
        private readonly SemaphoreSlim _called = new(0);
        private Task _held = Task.CompletedTask;
        private Task _batchesHeld = Task.CompletedTask;

        public ConcurrentQueue<(CountBatch Batch, string Counts)> Counted { get; } = new();

        public ConcurrentQueue<string> Alone { get; } = new();

        public Func<CountBatch, bool> Refuses { get; set; } = _ => false;

        public bool KnowsAlone { get; set; }

        public int FailsTimes { get; set; }

        public Exception FailsWith { get; set; } = new TimeoutException();

        public IItemShardGrain Grain => Fake.Of<IItemShardGrain>((method, arguments) => method.Name switch
        {
            nameof(IItemShardGrain.CountAsync) => CountAsync((CountBatch)arguments[0]!, (Immutable<ItemCount[]>)arguments[1]!, (string[])arguments[2]!),
            nameof(IItemShardGrain.CountAloneAsync) => CountAloneAsync((UserOfBatch)arguments[0]!, (Immutable<ItemCount[]>)arguments[1]!),
            _ => throw new NotSupportedException(method.Name),
        });

        /// <summary>From now on calls wait.</summary>
        public TaskCompletionSource Hold()
        {
            var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _held = held.Task;
            return held;
        }

        /// <summary>From now on calls with batches wait.</summary>
        public TaskCompletionSource HoldBatches()
        {
            var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _batchesHeld = held.Task;
            return held;
        }

        /// <summary>Waits until a batch comes.</summary>
        public async Task CalledAsync() => Assert.True(await _called.WaitAsync(TimeSpan.FromMinutes(1)));

        /// <summary>The next batches, as they come.</summary>
        public async Task<List<(CountBatch Batch, string Counts)>> TakeAsync(int count)
        {
            var taken = new List<(CountBatch, string)>();
            for (var tries = 0; taken.Count < count; tries++)
            {
                Assert.InRange(tries, 0, 60_000);
                if (Counted.TryDequeue(out var one))
                {
                    taken.Add(one);
                }
                else
                {
                    await Task.Delay(1);
                }
            }

            return taken;
        }

        private async Task<bool> CountAsync(CountBatch batch, Immutable<ItemCount[]> counts, string[] leftOut)
        {
            _called.Release();
            await _batchesHeld;
            await _held;
            if (FailsTimes > 0)
            {
                FailsTimes--;
                throw FailsWith;
            }

            if (Refuses(batch))
            {
                return false;
            }

            Counted.Enqueue((batch, Text(counts) + (leftOut.Length > 0 ? $" without {string.Join(' ', leftOut)}" : "")));
            return true;
        }

        private async Task<bool> CountAloneAsync(UserOfBatch part, Immutable<ItemCount[]> counts)
        {
            await _held;
            Alone.Enqueue($"{Text(counts)} of {part.User}/{part.UserVersion}");
            return !KnowsAlone;
        }

        private static string Text(Immutable<ItemCount[]> counts) => string.Join(' ', counts.Value.Select(count => $"{count.Item}:{count.Clicks}"));
    }
}
