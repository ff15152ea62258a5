using System.Collections.Concurrent;
using RecBackend.Core.Items;

namespace RecBackend.Engine.Contract;

/// <summary>What a catalogue can rely on when it follows the change feed.</summary>
public abstract class ChangeFeedContract : EngineContract
{
    [Fact]
    public async Task Change_is_told_before_the_call_that_made_it_returns()
    {
        var seen = new ConcurrentQueue<ItemChange>();
        using var subscription = Engine.Changes.Subscribe(changes =>
        {
            foreach (var change in changes)
            {
                seen.Enqueue(change);
            }
        });

        var version = await PutAsync("i1", Computed("b1", 1));
        var written = Assert.Single(seen);
        Assert.Equal(("i1", version, ItemChangeKind.Written), (written.Id, written.Version, written.Kind));
        Assert.Equal([1f], written.Record!.RepresentationFor("b1")!.Values);

        seen.Clear();
        await AppendAsync(Click("a", "u", "i1", 4), Impression("b", "u", "i1", 5));
        var counted = Assert.Single(seen);
        Assert.Equal((ItemChangeKind.Counted, new ItemCounters(1, 1, 4)), (counted.Kind, counted.Counters));
        Assert.Null(counted.Record);
        Assert.True(counted.Version > version);

        seen.Clear();
        await Items.SetRepresentationsAsync([new("i1", External("b2", 2), null)], default);
        var represented = Assert.Single(seen);
        Assert.Equal(["b1", "b2"], represented.Record!.Representations.Select(one => one.Bundle).Order());
        Assert.Equal(new ItemCounters(1, 1, 4), represented.Counters);

        seen.Clear();
        await Items.DeleteAsync(["i1"], default);
        var deleted = Assert.Single(seen);
        Assert.Equal(ItemChangeKind.Deleted, deleted.Kind);
        Assert.Null(deleted.Record);
        Assert.True(deleted.Version > represented.Version);
    }

    [Fact]
    public async Task Events_of_many_items_do_not_come_one_by_one()
    {
        await PutAsync(Enumerable.Range(0, 100).Select(i => $"i{i}"));
        var batches = new ConcurrentQueue<string[]>();
        using var subscription = Engine.Changes.Subscribe(changes =>
        {
            var ids = new List<string>();
            foreach (var change in changes)
            {
                ids.Add(change.Id);
            }

            batches.Enqueue([.. ids]);
        });

        await AppendAsync([.. Enumerable.Range(0, 200).Select(i => Click($"e{i}", "u", $"i{i % 100}"))]);

        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"i{i}").Order(), batches.SelectMany(batch => batch).Order());
        Assert.InRange(batches.Count, 1, 10);
    }

    [Fact]
    public async Task What_changed_nothing_is_not_told()
    {
        await PutAsync("i1");
        await AppendAsync(Click("a", "u", "i1"));
        var batches = 0;
        using var subscription = Engine.Changes.Subscribe(_ => batches++);

        await AppendAsync(Click("a", "u", "i1"), Click("b", "u", "nope"));
        await Items.DeleteAsync(["nope"], default);
        await Items.SetRepresentationsAsync([new("i1", Computed("b1", 1), IfVersion: 0)], default);

        Assert.Equal(0, batches);
    }

    [Fact]
    public async Task Nothing_is_told_after_the_subscription_ended()
    {
        var batches = 0;
        Engine.Changes.Subscribe(_ => batches++).Dispose();

        await PutAsync("i1");

        Assert.Equal(0, batches);
    }

    [Fact]
    public async Task Observer_that_throws_harms_neither_the_write_nor_the_others()
    {
        var batches = 0;
        using var bad = Engine.Changes.Subscribe(_ => throw new InvalidOperationException("bad observer"));
        using var good = Engine.Changes.Subscribe(_ => batches++);

        await PutAsync("i1");
        await PutAsync("i1");

        Assert.Equal(2, batches);
        Assert.Equal(1, await Items.CountAsync(default));
    }

    [Fact]
    public async Task Subscribing_first_and_reading_then_misses_nothing_while_writers_go_on()
    {
        await PutAsync(Enumerable.Range(0, 3_000).Select(i => $"i{i}"));
        using var stop = new CancellationTokenSource();
        var writers = Enumerable.Range(0, 4).Select(worker => Task.Run(async () =>
        {
            // Each writer has items of its own, so that it knows what must be there in the end.
            var alive = new HashSet<int>(Enumerable.Range(0, 3_000).Where(i => i % 4 == worker));
            var random = new Random(worker);
            for (var n = 0; !stop.IsCancellationRequested || n < 200; n++)
            {
                var i = (random.Next(0, 1_000) * 4) + worker;
                if (random.Next(3) == 0)
                {
                    await Items.DeleteAsync([$"i{i}"], default);
                    alive.Remove(i);
                }
                else if (random.Next(2) == 0 && alive.Contains(i))
                {
                    await AppendAsync(Click($"w{worker}-{n}", $"u{worker}", $"i{i}"));
                }
                else
                {
                    await PutAsync($"i{i}", Computed("b1", n));
                    alive.Add(i);
                }
            }

            return alive;
        })).ToArray();

        var replica = new Dictionary<string, ItemChange>();
        var outOfOrder = new ConcurrentQueue<string>();
        using var subscription = Engine.Changes.Subscribe(changes =>
        {
            lock (replica)
            {
                foreach (var change in changes)
                {
                    if (replica.TryGetValue(change.Id, out var before) && before.Version > change.Version)
                    {
                        outOfOrder.Enqueue($"{change.Id}: {change.Version} after {before.Version}");
                    }

                    replica[change.Id] = change;
                }
            }
        });
        await foreach (var item in Items.ReadAllAsync(default))
        {
            lock (replica)
            {
                if (!replica.TryGetValue(item.Id, out var newer) || newer.Version < item.Version)
                {
                    replica[item.Id] = new(item.Id, item.Version, ItemChangeKind.Written, item, item.Counters);
                }
            }
        }

        await stop.CancelAsync();
        var expected = (await Task.WhenAll(writers)).SelectMany(own => own).Select(i => $"i{i}").ToHashSet();
        Assert.Empty(outOfOrder);
        var present = replica.Values.Where(change => change.Kind != ItemChangeKind.Deleted).ToArray();
        Assert.Equal(expected.Order(), present.Select(change => change.Id).Order());
        foreach (var change in present)
        {
            var item = await ItemAsync(change.Id);
            Assert.Equal((item.Version, item.Counters), (change.Version, change.Counters));
        }
    }
}
