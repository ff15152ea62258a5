using System.Globalization;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Users;
using RecBackend.Engine.Contract;
using RecBackend.Grains.Users;

namespace RecBackend.Cluster.Tests.Users;

/// <summary>What a silo keeps of users between two rankings, and that no ranking sees it when it is old.</summary>
[Collection(BackingCollection.Name)]
public sealed class UserCopiesTests(Backing backing)
{
    private const int Patience = 6_000;

    [Fact]
    public async Task User_is_sent_again_only_after_a_change_wherever_that_was_made()
    {
        await using var cluster = await StartAsync();
        var (here, elsewhere) = (cluster.PortsOf(0).Users, cluster.PortsOf(1).Users);
        await here.AppendAsync([Click("e1", "i")], default);

        var first = await elsewhere.GetAsync("u", default);
        Assert.Equal(["i"], first.History.Select(entry => entry.Item));
        Assert.Same(first, await elsewhere.GetAsync("u", default));

        // A read that starts after the 2xx sees it, on any silo.
        await here.AppendAsync([Click("e2", "j")], default);
        var second = await elsewhere.GetAsync("u", default);
        Assert.Equal(2, second.History.Length);
        Assert.Same(second, await elsewhere.GetAsync("u", default));

        await here.SetAttributesAsync([new("u", new Dictionary<string, string> { ["gender"] = "F" })], default);
        Assert.Equal("F", (await elsewhere.GetAsync("u", default)).Attributes["gender"]);
    }

    [Fact]
    public async Task Encoding_is_used_where_it_was_computed_and_reaches_the_other_silos()
    {
        await using var cluster = await StartAsync();
        var (here, elsewhere) = (cluster.PortsOf(0).Users, cluster.PortsOf(1).Users);
        await here.AppendAsync([Click("e1", "i")], default);
        var user = await here.GetAsync("u", default);
        Assert.Null((await elsewhere.GetAsync("u", default)).Encoding);

        var encoding = new UserEncoding("b1", user.Version, Pinned(1, 2), Pinned(3));
        here.CacheEncoding(user, encoding);
        Assert.Same(encoding, (await here.GetAsync("u", default)).Encoding);
        var sent = await EventuallyEncodedAsync(elsewhere, "b1");
        Assert.Equal([1, 2], sent.UserState);
        Assert.Equal([3], sent.HistoryState);
        Assert.Same(sent, (await elsewhere.GetAsync("u", default)).Encoding);

        // Of another model, as while a model is changed: the last one wins, and each silo keeps the user.
        elsewhere.CacheEncoding(await elsewhere.GetAsync("u", default), new UserEncoding("b2", user.Version, Pinned(4, 5), Pinned(6)));
        var second = await EventuallyEncodedAsync(here, "b2");
        Assert.Equal([4, 5], second.UserState);
    }

    [Fact]
    public async Task User_who_was_erased_elsewhere_is_unknown_and_is_another_when_they_come_back()
    {
        await using var cluster = await StartAsync();
        var (here, elsewhere) = (cluster.PortsOf(0).Users, cluster.PortsOf(1).Users);
        await here.AppendAsync([Click("e1", "i")], default);
        var before = await elsewhere.GetAsync("u", default);
        elsewhere.CacheEncoding(before, new UserEncoding("b1", before.Version, Pinned(1), Pinned(2)));

        Assert.True(await here.EraseAsync("u", default));
        var erased = await elsewhere.GetAsync("u", default);
        Assert.False(erased.Known);
        Assert.Null(erased.Encoding);

        // At the same version as before, so that the version alone would not tell.
        await here.AppendAsync([Click("e2", "j")], default);
        var after = await elsewhere.GetAsync("u", default);
        Assert.Equal(before.Version, after.Version);
        Assert.Equal(["j"], after.History.Select(entry => entry.Item));
        Assert.Null(after.Encoding);
    }

    [Fact]
    public void Copies_are_bounded_in_bytes_and_the_newest_are_taken_once_there_is_room()
    {
        const int Bytes = 1 << 20;
        using var copies = new UserCopies(Bytes);
        var state = Pinned(new float[1_000]);
        for (var user = 0; user < 5_000; user++)
        {
            copies.Keep(Snapshot(user));
        }

        var kept = Enumerable.Range(0, 5_000).Count(user => copies.Find(Name(user)) is not null);
        Assert.InRange(kept, 1, Bytes / (state.Length * sizeof(float)));
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                copies.Keep(Snapshot(9_999));
                return copies.Find(Name(9_999)) is not null;
            },
            TimeSpan.FromSeconds(30)));

        copies.Drop(Name(9_999));
        Assert.Null(copies.Find(Name(9_999)));

        UserSnapshot Snapshot(int user) => new() { Id = Name(user), Encoding = new("b1", 1, state, []) };
        static string Name(int user) => user.ToString(CultureInfo.InvariantCulture);
    }

    private static float[] Pinned(params float[] values)
    {
        var pinned = GC.AllocateUninitializedArray<float>(values.Length, pinned: true);
        values.CopyTo(pinned, 0);
        return pinned;
    }

    private static InteractionEvent Click(string id, string item) => new(id, InteractionEvent.Click, "u", item, 1_000, null);

    private async Task<TestCluster> StartAsync()
    {
        var cluster = await TestCluster.StartAsync(backing, $"c{Guid.NewGuid():n}", 2, new ManualClock());
        await cluster.PortsOf(0).Items.UpsertAsync([new("i", new ItemContent(), null), new("j", new ItemContent(), null)], default);
        return cluster;
    }

    /// <summary>An encoding is told one way, so that it is there a little later.</summary>
    private static async Task<UserEncoding> EventuallyEncodedAsync(IUserDirectory users, string bundle)
    {
        for (var tries = 0; ; tries++)
        {
            Assert.InRange(tries, 0, Patience);
            if ((await users.GetAsync("u", default)).Encoding is { } encoding && encoding.Bundle == bundle)
            {
                return encoding;
            }

            await Task.Delay(10);
        }
    }
}
