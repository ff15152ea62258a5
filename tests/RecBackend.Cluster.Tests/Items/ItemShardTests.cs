using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Engine.Contract;
using RecBackend.Grains.Items;
using Xunit.Abstractions;

namespace RecBackend.Cluster.Tests.Items;

public sealed class ItemShardTests(ITestOutputHelper output)
{
    private readonly MemoryStorage _storage = new();
    private readonly ManualClock _clock = new();

    [Fact]
    public async Task Calls_that_come_together_share_a_write()
    {
        var shard = await OpenAsync();
        var before = _storage.Writes;
        await GrainTurns.RunAsync(() => Task.WhenAll(Enumerable.Range(0, 1_000).Select(i => shard.UpsertAsync([Upsert($"i{i}", "x")]))));
        Assert.Equal(1_000, shard.Count);

        // The first does not wait for the others.
        Assert.Equal(2, _storage.Writes - before);
    }

    [Fact]
    public async Task Write_of_unknown_outcome_is_seen_after_the_next_load_or_never()
    {
        foreach (var fault in new[] { WriteFault.Before, WriteFault.After })
        {
            var id = $"i-{fault}";
            var shard = await OpenAsync();
            await shard.UpsertAsync([Upsert("before", "x")]);
            _storage.Fault = _ => fault;
            await Assert.ThrowsAsync<StorageException>(() => shard.UpsertAsync([Upsert(id, "x")]));
            Assert.False(shard.Exists(id));
            await Assert.ThrowsAsync<StorageException>(() => shard.UpsertAsync([Upsert("later", "x")]));

            _storage.Fault = _ => WriteFault.None;
            var next = await OpenAsync();
            Assert.Equal(fault == WriteFault.After, next.Exists(id));
            Assert.True(next.Exists("before"));
            Assert.False(next.Exists("later"));
        }
    }

    [Fact]
    public async Task Of_two_writers_one_fails_and_loses_nothing_of_the_other()
    {
        var (first, second) = (await OpenAsync(), await OpenAsync());
        await first.UpsertAsync([Upsert("a", "first")]);
        await Assert.ThrowsAsync<StorageException>(() => second.UpsertAsync([Upsert("a", "second")]));
        Assert.Equal("first", (await (await OpenAsync()).ReadAsync(["a"]))[0]!.Record.Content.Title);
    }

    [Fact]
    public async Task Writer_that_was_replaced_fails_also_after_the_log_was_merged()
    {
        var replaced = await OpenAsync();
        var writer = await OpenAsync();
        for (var i = 0; i < 200; i++)
        {
            await writer.UpsertAsync([Upsert($"i{i}", "x")]);
        }

        await writer.CloseAsync();
        Assert.Contains(_storage.Names, name => name.Contains("itemmerged", StringComparison.Ordinal));
        await Assert.ThrowsAsync<StorageException>(() => replaced.UpsertAsync([Upsert("lost", "x")]));
        Assert.Equal(200, (await OpenAsync()).Count);
    }

    [Fact]
    public async Task Writer_that_was_replaced_fails_also_when_the_merged_log_is_gone()
    {
        var replaced = await OpenAsync();
        var writer = await OpenAsync();
        for (var i = 0; i < 400; i++)
        {
            _clock.Advance(TimeSpan.FromMinutes(1));
            await writer.UpsertAsync([Upsert($"i{i}", "x")]);
            await writer.CloseAsync();
        }

        Assert.DoesNotContain(_storage.Names, name => name == "items-itemlog/1-1");
        await Assert.ThrowsAsync<StorageException>(() => replaced.UpsertAsync([Upsert("lost", "x")]));
        Assert.Equal(400, (await OpenAsync()).Count);
    }

    [Fact]
    public async Task Items_of_another_number_of_shards_are_refused()
    {
        await OpenAsync();
        var other = Shard();
        var refused = await Assert.ThrowsAsync<StorageException>(() => other.LoadAsync(shards: 8));
        Assert.Equal(StorageException.Unreadable, refused.Code);
    }

    [Fact]
    public async Task Shard_equals_a_model_under_random_writes_faults_merges_and_restarts()
    {
        var seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var model = new Dictionary<string, (string Title, float Value, ItemCounters Counters)>();
        var shard = await OpenAsync();
        var incarnation = Guid.NewGuid();
        for (var step = 1; step <= 3_000; step++)
        {
            var (kind, id) = (random.Next(4), $"i{random.Next(40)}");
            _storage.Fault = _ => (WriteFault)(random.Next(300) is var fault and < 2 ? fault + 1 : 0);
            _clock.Advance(TimeSpan.FromMinutes(1));
            for (var done = false; !done;)
            {
                try
                {
                    await StepAsync(shard, kind, id, step);
                    done = true;
                }
                catch (StorageException)
                {
                    // As the grain does: load anew, and the caller sends it again.
                    await shard.CloseAsync();
                    shard = await OpenAsync();
                }
            }

            if (random.Next(200) == 0)
            {
                shard = await OpenAsync();
                await AssertModelAsync(shard, model);
            }
        }

        _storage.Fault = _ => WriteFault.None;
        await AssertModelAsync(await OpenAsync(), model);
        Assert.InRange(_storage.Names.Count, 1, 400);

        async Task StepAsync(ItemShard shard, int kind, string id, int step)
        {
            switch (kind)
            {
                case 0:
                    await shard.UpsertAsync([Upsert(id, $"t{step}", step)]);
                    model[id] = ($"t{step}", step, model.TryGetValue(id, out var before) ? before.Counters : ItemCounters.None);
                    break;
                case 1:
                    if ((await shard.SetRepresentationsAsync([new(id, new("b1", [step], RepresentationSource.Computed), null)]))[0])
                    {
                        model[id] = model[id] with { Value = step };
                    }

                    break;
                case 2:
                    // Sent twice, as after a timeout.
                    Assert.True(await shard.CountAsync(new(incarnation, step), [new(id, 1, 2, step)], []));
                    Assert.True(await shard.CountAsync(new(incarnation, step), [new(id, 1, 2, step)], []));
                    if (model.TryGetValue(id, out var counted))
                    {
                        model[id] = counted with { Counters = counted.Counters.Plus(new(1, 2, step)) };
                    }

                    break;
                default:
                    await shard.DeleteAsync([id]);
                    model.Remove(id);
                    break;
            }
        }
    }

    private static async Task AssertModelAsync(ItemShard shard, Dictionary<string, (string Title, float Value, ItemCounters Counters)> model)
    {
        Assert.Equal(model.Keys.Order(), shard.Ids.Order());
        Assert.Equal(model.Count, shard.Digests.Sum(digest => digest.Count));
        Assert.Equal(model.Keys.Order(), Enumerable.Range(0, shard.Digests.Count).SelectMany(shard.VersionsOf).Select(item => item.Key).Order());
        foreach (var (id, expected) in model)
        {
            var record = (await shard.ReadAsync([id]))[0]!.Record;
            Assert.Equal((expected.Title, expected.Value, expected.Counters), (record.Content.Title, record.RepresentationFor("b1")!.Values[0], record.Counters));
        }
    }

    private async Task<ItemShard> OpenAsync()
    {
        var shard = Shard();
        await shard.LoadAsync(shards: 4);
        return shard;
    }

    private ItemShard Shard() => new(new(_storage, new SegmentCache(1 << 20), 1), _ => Task.CompletedTask, _clock);

    private static ItemUpsert Upsert(string id, string title, float value = 0) =>
        new(id, new ItemContent { Title = title }, new("b1", [value], RepresentationSource.Computed));
}
