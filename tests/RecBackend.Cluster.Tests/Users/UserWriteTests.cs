using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Core.Users;
using RecBackend.Engine.Contract;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Storage;
using RecBackend.Grains.Users;

namespace RecBackend.Cluster.Tests.Users;

/// <summary>Writes of users that fail, or whose answer is lost, in a grain of a silo.</summary>
[Collection(BackingCollection.Name)]
public sealed class UserWriteTests(Backing backing)
{
    /// <summary>Looks, ten milliseconds apart: a minute.</summary>
    private const int Patience = 6_000;

    private readonly MemoryStorage _storage = new();

    [Theory]
    [InlineData(WriteFault.Before)]
    [InlineData(WriteFault.After)]
    public async Task Event_of_a_failed_write_is_seen_only_if_it_is_stored_and_counts_once_when_it_is_sent_again(WriteFault fault)
    {
        await using var cluster = await StartAsync();
        var (users, items, grain) = (cluster.PortsOf(0).Users, cluster.PortsOf(0).Items, Grain(cluster, "u"));
        await items.UpsertAsync([new("i", new ItemContent(), null), new("j", new ItemContent(), null)], default);
        await users.AppendAsync([Click("e0", "j")], default);

        FailOnce(fault);
        UserEvent sent = new("e1", InteractionEvent.Click, "i", 1, null, ItemKnown: true);
        var failed = await Assert.ThrowsAsync<StorageException>(() => grain.AppendAsync([sent]));
        Assert.Equal(StorageException.Unavailable, failed.Code);
        Assert.Equal(fault == WriteFault.After ? ["i", "j"] : ["j"], (await EventuallyReadAsync(grain, fault == WriteFault.After ? 2 : 1)).History.Select(entry => entry.Item));

        Assert.Equal(fault == WriteFault.After ? UserEventOutcome.Duplicate : UserEventOutcome.Accepted, (await grain.AppendAsync([sent]))[0]);
        Assert.Equal(UserEventOutcome.Duplicate, (await grain.AppendAsync([sent]))[0]);
        await CountedAsync(cluster, "i");
        await CountedAsync(cluster, "j");
    }

    [Fact]
    public async Task Caller_of_the_service_does_not_notice_a_write_that_fails_once()
    {
        await using var cluster = await StartAsync();
        var (users, items) = (cluster.PortsOf(0).Users, cluster.PortsOf(0).Items);
        await items.UpsertAsync([new("i", new ItemContent(), null)], default);
        foreach (var (fault, event_) in new[] { (WriteFault.Before, "e1"), (WriteFault.After, "e2") })
        {
            FailOnce(fault);
            var receipt = await users.AppendAsync([Click(event_, "i")], default);
            Assert.Equal(1, receipt.Accepted + receipt.Duplicates);
        }

        Assert.Equal(2, (await users.GetAsync("u", default)).History.Length);
        await CountedAsync(cluster, "i", 2);
    }

    [Fact]
    public async Task Counts_that_had_to_come_alone_are_stored_as_no_longer_pending()
    {
        await using var cluster = await StartAsync();
        await cluster.PortsOf(0).Items.UpsertAsync([new("i", new ItemContent(), null)], default);

        // As a silo leaves it that dies before it has sent its batch.
        var lost = new CountBatch(Incarnation.New(TimeProvider.System), 1);
        var stored = new GrainState<UserGrainState>(new() { Life = Guid.NewGuid(), Version = 1, Clicks = 1, Pending = [new(lost, new("i", 0, 1, 1), 1)] });
        var grain = Grain(cluster, "u");
        await _storage.WriteStateAsync("user", grain.GetGrainId(), stored);

        Assert.True((await grain.ReadAsync()).Known);
        await CountedAsync(cluster, "i");
        for (var tries = 0; ; tries++)
        {
            Assert.InRange(tries, 0, Patience);
            var read = new GrainState<UserGrainState>(new());
            await _storage.ReadStateAsync("user", grain.GetGrainId(), read);
            if (read.State!.Pending.Length == 0)
            {
                break;
            }

            await Task.Delay(10);
        }
    }

    [Fact]
    public async Task Counts_that_were_left_out_of_a_batch_stay_with_their_user_until_they_came_alone()
    {
        await using var cluster = await StartAsync();
        await cluster.PortsOf(0).Items.UpsertAsync([new("i", new ItemContent(), null)], default);

        // As an activation leaves it whose second write of a batch failed: the batch goes without this user, and counts those of another.
        var counter = cluster.Silos[0].GetRequiredService<ItemCounter>();
        var count = new ItemCount("i", 0, 1, 1);
        var (leftOut, other) = (counter.Join("u", 1, [count]), counter.Join("other", 1, [count]));
        leftOut.LeaveOut();
        other.Confirm();
        await counter.FlushAsync();
        Assert.Equal(leftOut.Batch, other.Batch);
        Assert.True(counter.IsCounted(leftOut.Batch, "i"));
        var grain = Grain(cluster, "u");
        var pending = new PendingCount(leftOut.Batch, count, 1);
        await _storage.WriteStateAsync("user", grain.GetGrainId(), new GrainState<UserGrainState>(new() { Life = Guid.NewGuid(), Version = 1, Clicks = 1, Pending = [pending] }));

        // While the item cannot take them, the user writes again.
        _storage.Fault = name => name.StartsWith("items-itemlog", StringComparison.Ordinal) ? WriteFault.Before : WriteFault.None;
        await grain.AppendAsync([new("e", InteractionEvent.Click, "j", 2, null, ItemKnown: true)]);
        var stored = new GrainState<UserGrainState>(new());
        await _storage.ReadStateAsync("user", grain.GetGrainId(), stored);
        Assert.Contains(pending, stored.State!.Pending);

        _storage.Fault = _ => WriteFault.None;
        await CountedAsync(cluster, "i", clicks: 2);
    }

    private Task<TestCluster> StartAsync() => TestCluster.StartAsync(
        backing, "unused", [new ClusterEngineOptions { ItemShards = 2 }], new ManualClock(), (_, silo) => silo.Services.AddKeyedSingleton<IGrainStorage>(GrainStorageName.Value, _storage));

    private void FailOnce(WriteFault fault)
    {
        var left = 1;
        _storage.Fault = name => name.StartsWith("user-", StringComparison.Ordinal) && Interlocked.Decrement(ref left) == 0 ? fault : WriteFault.None;
    }

    private static IUserGrain Grain(TestCluster cluster, string user) => cluster.Silos[0].GetRequiredService<IGrainFactory>().GetGrain<IUserGrain>(user);

    /// <summary>Reads until the activation that failed has made room for one that has read so many events: until then it shows what it knows to be stored.</summary>
    private static async Task<UserReading> EventuallyReadAsync(IUserGrain grain, int events)
    {
        for (var tries = 0; ; tries++)
        {
            Assert.InRange(tries, 0, Patience);
            var read = await grain.ReadAsync();
            Assert.InRange(read.History.Length, 1, events);
            if (read.History.Length == events)
            {
                return read;
            }

            await Task.Delay(10);
        }
    }

    /// <summary>Waits until the item has so many clicks, and sees that no more come.</summary>
    private static async Task CountedAsync(TestCluster cluster, string item, long clicks = 1)
    {
        var items = cluster.PortsOf(0).Items;
        for (var tries = 0; (await items.GetAsync(item, default))!.Counters.Clicks < clicks; tries++)
        {
            Assert.InRange(tries, 0, Patience);
            await Task.Delay(10);
        }

        await cluster.SettleAsync();
        Assert.Equal(clicks, (await items.GetAsync(item, default))!.Counters.Clicks);
    }

    private static InteractionEvent Click(string id, string item) => new(id, InteractionEvent.Click, "u", item, 1, null);
}
