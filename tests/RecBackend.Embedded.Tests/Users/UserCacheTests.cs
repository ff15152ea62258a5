using RecBackend.Core.Models;
using RecBackend.Core.Users;
using RecBackend.Embedded.Users;

namespace RecBackend.Embedded.Tests.Users;

public sealed class UserCacheTests
{
    [Fact]
    public void Sweep_keeps_the_budget()
    {
        var cache = new UserCache(budget: 1 << 20, startSweep: _ => { });
        for (var i = 0; i < 100; i++)
        {
            // 40 kB each, as an encoding of 10,000 floats.
            Add(cache, $"u{i}", floats: 10_000);
        }

        cache.SweepToBudget();

        Assert.InRange(cache.Count, 15, 26);
    }

    [Fact]
    public void Every_eighth_of_the_budget_that_is_added_starts_one_sweep()
    {
        var due = new Queue<Action>();
        var cache = new UserCache(budget: 1 << 20, startSweep: due.Enqueue);
        for (var i = 0; i < 100; i++)
        {
            Add(cache, $"u{i}", floats: 10_000);
        }

        Assert.Single(due);
        due.Dequeue()();
        Assert.InRange(cache.Count, 15, 26);

        for (var i = 0; i < 4; i++)
        {
            Add(cache, $"v{i}", floats: 10_000);
        }

        Assert.Single(due);
    }

    [Fact]
    public void Sweep_under_the_budget_drops_nobody()
    {
        var cache = new UserCache(budget: 1 << 20, startSweep: _ => { });
        for (var i = 0; i < 100; i++)
        {
            Add(cache, $"u{i}", floats: 1);
        }

        cache.SweepToBudget();

        Assert.Equal(100, cache.Count);
    }

    [Fact]
    public void Sweep_drops_first_who_was_not_asked_for()
    {
        var cache = new UserCache(budget: 1 << 20, startSweep: _ => { });
        for (var i = 0; i < 40; i++)
        {
            Add(cache, $"u{i}", floats: 10_000);
        }

        cache.SweepIdle();
        for (var i = 0; i < 10; i++)
        {
            Assert.True(cache.TryGet($"u{i}", out _));
        }

        cache.SweepToBudget();

        Assert.InRange(cache.Count, 10, 26);
        for (var i = 0; i < 10; i++)
        {
            Assert.True(cache.TryGet($"u{i}", out _), $"u{i}");
        }
    }

    [Fact]
    public void Idle_user_is_dropped_by_the_second_sweep()
    {
        var cache = new UserCache(budget: 1 << 20, startSweep: _ => { });
        Add(cache, "idle", floats: 1);
        Add(cache, "busy", floats: 1);

        cache.SweepIdle();
        cache.TryGet("busy", out _);
        cache.SweepIdle();

        Assert.False(cache.TryGet("idle", out _));
        Assert.True(cache.TryGet("busy", out _));
    }

    [Fact]
    public void State_that_was_read_does_not_replace_one_that_was_committed()
    {
        var actor = new UserActor();
        var committed = StoredUser.Unknown("u") with { Key = 7 };
        actor.Publish(committed);

        Assert.Same(committed, actor.Fill(StoredUser.Unknown("u")));
        Assert.Same(committed, actor.Stored);
    }

    private static void Add(UserCache cache, string id, int floats)
    {
        var encoding = new UserEncoding("b", 0, new float[floats], []);
        cache.Publish(id, cache.GetOrAdd(id), new StoredUser(1, 1, new UserSnapshot { Id = id, Encoding = encoding }));
    }
}
