using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Grains.Items;

namespace RecBackend.Cluster.Tests.Items;

/// <summary>What a shard promises its callers, and one writer to another.</summary>
public sealed class ItemShardTests
{
    private readonly ShardStore _store = new();

    [Fact]
    public Task Calls_that_come_together_share_a_write() => GrainTurns.RunAsync(async () =>
    {
        var shard = await _store.OpenAsync();
        var before = _store.Storage.Writes;
        await Task.WhenAll(Enumerable.Range(0, 1_000).Select(i => shard.UpsertAsync([ShardStore.Upsert($"i{i}", "x")])));
        Assert.Equal(1_000, shard.Count);

        // The first does not wait for the others.
        Assert.Equal(2, _store.Storage.Writes - before);
    });

    [Fact]
    public Task Write_of_unknown_outcome_is_seen_after_the_next_load_or_never() => GrainTurns.RunAsync(async () =>
    {
        foreach (var fault in new[] { WriteFault.Before, WriteFault.After })
        {
            var id = $"i-{fault}";
            var shard = await _store.OpenAsync();
            await shard.UpsertAsync([ShardStore.Upsert("before", "x")]);
            _store.Storage.Fault = _ => fault;
            await Assert.ThrowsAsync<StorageException>(() => shard.UpsertAsync([ShardStore.Upsert(id, "x")]));
            Assert.False(shard.Exists(id));
            await Assert.ThrowsAsync<StorageException>(() => shard.UpsertAsync([ShardStore.Upsert("later", "x")]));

            _store.Storage.Fault = _ => WriteFault.None;
            var next = await _store.OpenAsync();
            Assert.Equal(fault == WriteFault.After, next.Exists(id));
            Assert.True(next.Exists("before"));
            Assert.False(next.Exists("later"));
        }
    });

    [Fact]
    public Task Of_two_writers_the_earlier_one_fails_before_the_later_has_written_anything() => GrainTurns.RunAsync(async () =>
    {
        var (replaced, writer) = (await _store.OpenAsync(), await _store.OpenAsync());
        var refused = await Assert.ThrowsAsync<StorageException>(() => replaced.UpsertAsync([ShardStore.Upsert("a", "unseen")]));
        Assert.Equal(StorageException.Unavailable, refused.Code);
        await writer.UpsertAsync([ShardStore.Upsert("b", "seen")]);
        var next = await _store.OpenAsync();
        Assert.False(next.Exists("a"));
        Assert.Equal("seen", (await next.ReadAsync("b"))!.Record.Content.Title);
    });

    [Fact]
    public Task Writer_that_was_replaced_fails_also_after_the_log_was_merged() => GrainTurns.RunAsync(async () =>
    {
        var replaced = await _store.OpenAsync();
        var writer = await _store.OpenAsync();
        for (var i = 0; i < 200; i++)
        {
            await writer.UpsertAsync([ShardStore.Upsert($"i{i}", "x")]);
        }

        await writer.Merging;
        Assert.Contains(_store.Storage.Names, name => name.Contains("itemmerged", StringComparison.Ordinal));
        await Assert.ThrowsAsync<StorageException>(() => replaced.UpsertAsync([ShardStore.Upsert("lost", "x")]));
        Assert.Equal(200, (await _store.OpenAsync()).Count);
    });

    [Fact]
    public Task Writer_that_was_replaced_fails_also_when_the_merged_log_is_gone() => GrainTurns.RunAsync(async () =>
    {
        var replaced = await _store.OpenAsync();
        await OutliveLogAsync(await _store.OpenAsync());
        await Assert.ThrowsAsync<StorageException>(() => replaced.UpsertAsync([ShardStore.Upsert("lost", "x")]));
        Assert.Equal(400, (await _store.OpenAsync()).Count);
    });

    [Fact]
    public Task Writer_that_was_replaced_ends_when_what_it_reads_is_gone() => GrainTurns.RunAsync(async () =>
    {
        var replaced = await _store.OpenAsync(cacheBytes: 1);
        await replaced.UpsertAsync([ShardStore.Upsert("read", "x")]);
        await OutliveLogAsync(await _store.OpenAsync());
        var gone = await Assert.ThrowsAsync<StorageException>(async () => await replaced.ReadAsync("read"));
        Assert.Equal(StorageException.Unavailable, gone.Code);
        Assert.Same(gone, replaced.Failure);
        Assert.NotNull(await (await _store.OpenAsync()).ReadAsync("read"));
    });

    [Fact]
    public Task Writer_that_was_replaced_fails_also_when_it_wrote_nothing_for_longer_than_the_log_is_kept() => GrainTurns.RunAsync(async () =>
    {
        var replaced = await _store.OpenAsync();
        await replaced.UpsertAsync([ShardStore.Upsert("before", "x")]);
        await OutliveLogAsync(await _store.OpenAsync());
        await Assert.ThrowsAsync<StorageException>(() => replaced.DeleteAsync(["before"]));
        Assert.True((await _store.OpenAsync()).Exists("before"));
    });

    [Fact]
    public Task Items_of_another_number_of_shards_are_refused() => GrainTurns.RunAsync(async () =>
    {
        await _store.OpenAsync();
        var refused = await Assert.ThrowsAsync<StorageException>(() => _store.Shard().LoadAsync(shards: 8));
        Assert.Equal(StorageException.Unreadable, refused.Code);
    });

    [Fact]
    public Task Shard_that_is_new_is_refused_too_if_the_items_are_spread_over_another_number() => GrainTurns.RunAsync(async () =>
    {
        await _store.OpenAsync();
        var other = new ItemShard(new(_store.Storage, new SegmentCache(1), 6), new ShardTurns(), _ => Task.CompletedTask, TimeProvider.System);
        var refused = await Assert.ThrowsAsync<StorageException>(() => other.LoadAsync(shards: 8));
        Assert.Equal(StorageException.Unreadable, refused.Code);
        Assert.DoesNotContain(_store.Storage.Names, name => name.EndsWith("/6", StringComparison.Ordinal));
    });

    [Fact]
    public Task Shard_that_is_slow_to_be_heard_writes_on_and_answers_when_it_was_heard() => GrainTurns.RunAsync(async () =>
    {
        var heard = new List<TaskCompletionSource>();
        var told = new List<string>();
        var shard = await _store.OpenAsync(changes =>
        {
            told.AddRange(changes.Select(change => change.Id));
            heard.Add(new());
            return heard[^1].Task;
        });

        Task[] calls = [shard.UpsertAsync([ShardStore.Upsert("a", "x")]), shard.UpsertAsync([ShardStore.Upsert("b", "x")]), shard.DeleteAsync(["a"])];
        while (heard.Count < 2)
        {
            await Task.Yield();
        }

        // Two writes, and nobody has been answered.
        Assert.Equal(["a", "b", "a"], told);
        Assert.True((await _store.OpenAsync()).Exists("b"));
        Assert.DoesNotContain(calls, call => call.IsCompleted);

        heard[1].SetResult();
        await Task.WhenAll(calls[1], calls[2]);
        Assert.False(calls[0].IsCompleted);
        heard[0].SetResult();
        await calls[0];
    });

    [Fact]
    public Task Listener_that_fails_takes_nothing_from_what_is_durable() => GrainTurns.RunAsync(async () =>
    {
        foreach (var tell in new Func<IReadOnlyList<ItemChange>, Task>[] { _ => throw new TimeoutException(), _ => Task.FromException(new TimeoutException()) })
        {
            var shard = await _store.OpenAsync(tell);
            await shard.UpsertAsync([ShardStore.Upsert("a", "x")]);
            await shard.UpsertAsync([ShardStore.Upsert("b", "x")]);
            Assert.Null(shard.Failure);
            Assert.Equal(2, (await _store.OpenAsync()).Count);
        }
    });

    [Fact]
    public Task Calls_of_one_write_see_each_other_in_their_order() => GrainTurns.RunAsync(async () =>
    {
        var shard = await _store.OpenAsync();
        await shard.UpsertAsync([ShardStore.Upsert("i", "old")]);
        await shard.CountAsync(new(Guid.NewGuid(), 1), [new("i", 5, 5, 10)], []);
        var writes = _store.Storage.Writes;

        // The first occupies the shard, so that the others share a write.
        var first = shard.UpsertAsync([ShardStore.Upsert("other", "x")]);
        var incarnation = Guid.NewGuid();
        var counted = shard.CountAsync(new(incarnation, 1), [new("i", 1, 0, 10)], []);
        var deleted = shard.DeleteAsync(["i"]);
        var lost = shard.CountAsync(new(incarnation, 2), [new("i", 100, 100, 10)], []);
        var unset = shard.SetRepresentationsAsync([new("i", new("b1", [9], RepresentationSource.External), null)]);
        var deletedAgain = shard.DeleteAsync(["i"]);
        var upserted = shard.UpsertAsync([ShardStore.Upsert("i", "new", 3)]);
        var countedAfter = shard.CountAsync(new(incarnation, 3), [new("i", 0, 7, 20)], []);
        var twice = shard.CountAsync(new(incarnation, 3), [new("i", 0, 7, 20)], []);
        var set = shard.SetRepresentationsAsync([new("i", new("b2", [4], RepresentationSource.External), null)]);
        await Task.WhenAll(first, counted, deleted, lost, unset, deletedAgain, upserted, countedAfter, twice, set);

        Assert.Equal(2, _store.Storage.Writes - writes);
        Assert.Equal((true, false, false, true), ((await deleted)[0], (await deletedAgain)[0], (await unset)[0], (await set)[0]));
        foreach (var one in new[] { shard, await _store.OpenAsync() })
        {
            var record = (await one.ReadAsync("i"))!.Record;
            Assert.Equal(("new", new ItemCounters(0, 7, 20)), (record.Content.Title, record.Counters));
            Assert.Equal((3, 4), (record.RepresentationFor("b1")!.Values[0], record.RepresentationFor("b2")!.Values[0]));
        }
    });

    /// <summary>Writes, an hour long and for more than a merge, until what was in the log is deleted.</summary>
    private async Task OutliveLogAsync(ItemShard writer)
    {
        for (var i = 0; i < 400; i++)
        {
            _store.Clock.Advance(TimeSpan.FromMinutes(1));
            await writer.UpsertAsync([ShardStore.Upsert($"i{i}", "x")]);
            await writer.Merging;
        }

        Assert.DoesNotContain("items-itemlog/1-1", _store.Storage.Names);
    }
}
