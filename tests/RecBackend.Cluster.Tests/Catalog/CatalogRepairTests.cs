using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Core.Storage;
using RecBackend.Core.Users;
using RecBackend.Engine.Contract;
using RecBackend.Grains.Catalog;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Items;

namespace RecBackend.Cluster.Tests.Catalog;

[Collection(BackingCollection.Name)]
public sealed class CatalogRepairTests(Backing backing)
{
    [Fact]
    public async Task Replica_that_misses_every_message_comes_to_the_items_versions()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 2, new ManualClock());
        var (users, items, _) = cluster.PortsOf(0);
        await using var replica = await Replica.StartAsync(items, cluster.Silos[1].GetRequiredService<ItemShards>());

        await items.UpsertAsync([.. Enumerable.Range(0, 500).Select(i => new ItemUpsert($"i{i}", new ItemContent { Title = "x" }, null))], default);
        Assert.Equal(500, await replica.Repair.RunAsync(default));
        Assert.Equal(500, replica.Models.Status.Items);
        Assert.Equal(0, await replica.Repair.RunAsync(default));

        await items.DeleteAsync(["i1", "i2"], default);
        await items.UpsertAsync([new("i3", new ItemContent { Title = "y" }, null), new("new", new ItemContent(), null)], default);
        await users.AppendAsync([new("e", InteractionEvent.Click, "u", "i4", 1, null)], default);
        await cluster.SettleAsync();
        Assert.Equal(5, await replica.Repair.RunAsync(default));
        Assert.Equal(499, replica.Models.Status.Items);
        using var lease = replica.Models.Lease();
        var digests = await cluster.DigestsAsync();
        Assert.Equal(digests, Enumerable.Range(0, ItemCatalog.DigestShards).Select(lease.Catalog.Digest));
    }

    [Fact]
    public async Task Lost_change_of_a_row_is_not_hidden_by_a_later_count()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 1, new ManualClock());
        var items = cluster.PortsOf(0).Items;
        await using var replica = await Replica.StartAsync(items, cluster.Silos[0].GetRequiredService<ItemShards>());
        await items.UpsertAsync([new("i", new ItemContent(), null)], default);
        await replica.Repair.RunAsync(default);

        var version = (await items.UpsertAsync([new("i", new ItemContent(), null)], default))[0];
        replica.Feed.Publish([new("i", version, ItemChangeKind.Counted, null, ItemCounters.None)]);
        Assert.Equal(1, await replica.Repair.RunAsync(default));
        Assert.Equal(0, await replica.Repair.RunAsync(default));
    }

    [Fact]
    public async Task Candidate_that_a_silo_was_not_told_of_is_read_and_ranked_and_told()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 1, new ManualClock());
        var items = cluster.PortsOf(0).Items;
        var shards = cluster.Silos[0].GetRequiredService<ItemShards>();
        await using var replica = await Replica.StartAsync(items, shards);
        var clock = new ManualClock();
        var ranker = new RankingPipeline(replica.Models, cluster.PortsOf(0).Users, clock, new MissingItems(shards, replica.Feed, clock, TimeSpan.FromMinutes(1)));
        await items.UpsertAsync([new("new", new ItemContent(), null)], default);

        using (var ranking = await ranker.RankAsync(Request(), default))
        {
            Assert.Equal(1, ranking.Items.Length);
            Assert.Equal([1], ranking.Fetched);
            Assert.Equal([0], ranking.Unknown.ToArray());
        }

        // What was none is not looked up at each ranking, and is found a while after it has become one.
        await items.UpsertAsync([new("none", new ItemContent(), null)], default);
        using (var ranking = await ranker.RankAsync(Request(), default))
        {
            Assert.Equal([0], ranking.Unknown.ToArray());
        }

        clock.Advance(TimeSpan.FromSeconds(6));
        using (var ranking = await ranker.RankAsync(Request(), default))
        {
            Assert.Equal(2, ranking.Items.Length);
            Assert.Equal([0], ranking.Fetched);
        }

        static RankRequest Request()
        {
            var request = new RankRequest { User = "u" };
            request.Candidates.Add("none"u8);
            request.Candidates.Add("new"u8);
            return request;
        }
    }

    [Fact]
    public async Task Difference_that_no_change_explains_is_repaired_at_the_second_look()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 1, new ManualClock());
        var items = cluster.PortsOf(0).Items;
        await using var replica = await Replica.StartAsync(items, cluster.Silos[0].GetRequiredService<ItemShards>());
        await items.UpsertAsync([.. Enumerable.Range(0, 50).Select(i => new ItemUpsert($"i{i}", new ItemContent(), null))], default);
        Assert.Equal(50, await replica.Repair.RunAsync(default));

        // Items that never were, as if their deletion had been lost long ago.
        replica.Feed.Publish([new("ghost", 1, ItemChangeKind.Written, new("ghost", 1, new ItemContent(), ItemCounters.None, []), ItemCounters.None)]);
        Assert.Equal(51, replica.Models.Status.Items);
        Assert.Equal(0, await replica.Repair.RunAsync(default));
        Assert.Equal(1, await replica.Repair.RunAsync(default));
        Assert.Equal(50, replica.Models.Status.Items);
    }

    [Fact]
    public async Task Shard_that_cannot_be_read_keeps_nothing_from_the_items_of_the_others()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 1, new ManualClock());
        var (items, shards) = (cluster.PortsOf(0).Items, cluster.Silos[0].GetRequiredService<ItemShards>());
        var (damaged, isDamaged) = (shards.Of("i0"), true);
        var asked = new ItemShards(
            Fake.Grains((_, key) => Fake.Of<IItemShardGrain>((method, arguments) => isDamaged && ItemShards.Parse((long)key).Shard == damaged
                ? throw new StorageException(StorageException.Unreadable, "A blob is damaged.")
                : method.Invoke(shards[ItemShards.Parse((long)key).Shard], arguments))),
            shards.Count);
        await using var replica = await Replica.StartAsync(items, asked);
        await items.UpsertAsync([.. Enumerable.Range(0, 100).Select(i => new ItemUpsert($"i{i}", new ItemContent(), null))], default);
        var readable = Enumerable.Range(0, 100).Count(i => shards.Of($"i{i}") != damaged);
        await Assert.ThrowsAsync<StorageException>(() => replica.Repair.RunAsync(default));
        Assert.Equal(readable, replica.Models.Status.Items);

        isDamaged = false;
        Assert.Equal(100 - readable, await replica.Repair.RunAsync(default));
        Assert.Equal((100, 100 - readable), (replica.Models.Status.Items, replica.Repair.Lag));
    }

    [Fact]
    public async Task Shard_that_does_not_answer_keeps_nothing_from_the_items_of_the_others()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 1, new ManualClock());
        var (items, shards) = (cluster.PortsOf(0).Items, cluster.Silos[0].GetRequiredService<ItemShards>());
        var (silent, answer) = (shards.Of("i0"), new TaskCompletionSource<ShardState>());
        var asked = new ItemShards(
            Fake.Grains((_, key) => Fake.Of<IItemShardGrain>((method, arguments) =>
                method.Name == nameof(IItemShardGrain.CompareAsync) && ItemShards.Parse((long)key).Shard == silent && !answer.Task.IsCompleted
                    ? answer.Task
                    : method.Invoke(shards[ItemShards.Parse((long)key).Shard], arguments))),
            shards.Count);
        await using var replica = await Replica.StartAsync(items, asked);
        await items.UpsertAsync([.. Enumerable.Range(0, 100).Select(i => new ItemUpsert($"i{i}", new ItemContent(), null))], default);
        var answering = Enumerable.Range(0, 100).Count(i => shards.Of($"i{i}") != silent);
        await Assert.ThrowsAsync<TimeoutException>(() => replica.Repair.RunAsync(default, TimeSpan.FromSeconds(5)));
        Assert.Equal(answering, replica.Models.Status.Items);

        answer.SetCanceled();
        Assert.Equal(100 - answering, await replica.Repair.RunAsync(default, TimeSpan.FromMinutes(1)));
        Assert.Equal(100, replica.Models.Status.Items);
    }

    [Fact]
    public async Task Difference_whose_items_could_not_be_listed_is_repaired_when_they_can()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 1, new ManualClock());
        var (items, shards, isDamaged) = (cluster.PortsOf(0).Items, cluster.Silos[0].GetRequiredService<ItemShards>(), false);
        var asked = new ItemShards(
            Fake.Grains((_, key) => Fake.Of<IItemShardGrain>((method, arguments) => isDamaged && method.Name == nameof(IItemShardGrain.VersionsAsync)
                ? throw new StorageException(StorageException.Unreadable, "A blob is damaged.")
                : method.Invoke(shards[ItemShards.Parse((long)key).Shard], arguments))),
            shards.Count);
        await using var replica = await Replica.StartAsync(items, asked);
        await items.UpsertAsync([.. Enumerable.Range(0, 50).Select(i => new ItemUpsert($"i{i}", new ItemContent(), null))], default);
        Assert.Equal(50, await replica.Repair.RunAsync(default));
        replica.Feed.Publish([new("ghost", 1, ItemChangeKind.Written, new("ghost", 1, new ItemContent(), ItemCounters.None, []), ItemCounters.None)]);
        Assert.Equal(0, await replica.Repair.RunAsync(default));

        isDamaged = true;
        await Assert.ThrowsAsync<StorageException>(() => replica.Repair.RunAsync(default));
        isDamaged = false;
        Assert.Equal(1, await replica.Repair.RunAsync(default));
        Assert.Equal(50, replica.Models.Status.Items);
    }

    [Fact]
    public async Task Write_is_in_the_catalogue_of_every_silo_when_its_call_returns()
    {
        // Longer than a busy machine needs: a silo that takes longer is not waited for.
        ClusterEngineOptions options = new() { ItemShards = 4, CatalogPatience = TimeSpan.FromMinutes(1) };
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", [options, options, options], new ManualClock());
        var directories = cluster.Silos.Select((silo, place) => new ModelDirectory(new NoBundles(), cluster.PortsOf(place).Items, cluster.PortsOf(place).Changes, new ModelDirectoryOptions())).ToList();
        await Task.WhenAll(directories.Select(directory => directory.StartAsync(new JobProgress(), default)));
        for (var i = 0; i < 200; i++)
        {
            await cluster.PortsOf(i % 3).Items.UpsertAsync([new($"i{i}", new ItemContent(), null)], default);
            Assert.All(directories, directory => Assert.Equal(i + 1, directory.Status.Items));
        }

        foreach (var directory in directories)
        {
            await directory.DisposeAsync();
        }
    }

    /// <summary>A catalogue to whose feed nobody publishes but its repair.</summary>
    private sealed class Replica(ModelDirectory models, ReplicaFeed feed, ItemShards shards) : IAsyncDisposable
    {
        public ModelDirectory Models => models;

        public ReplicaFeed Feed => feed;

        public CatalogRepair Repair { get; } = new(shards, models, feed, NullLogger<CatalogRepair>.Instance);

        public static async Task<Replica> StartAsync(IItemDirectory items, ItemShards shards)
        {
            var feed = new ReplicaFeed(NullLogger<ReplicaFeed>.Instance);
            var models = new ModelDirectory(new NoBundles(), items, feed, new ModelDirectoryOptions());
            await models.StartAsync(new JobProgress(), default);
            return new(models, feed, shards);
        }

        public ValueTask DisposeAsync() => models.DisposeAsync();
    }

    private sealed class NoBundles : IBundleStore
    {
        public IReadOnlyList<BundleSummary> List() => [];

        public ValueTask<BundleSummary> AddAsync(Stream zip, CancellationToken cancellation) => throw new NotSupportedException();

        public ValueTask<IModel> LoadAsync(string version, CancellationToken cancellation) => throw new NotSupportedException();

        public ActiveVersions ReadActive() => new(null, null);

        public void WriteActive(ActiveVersions versions) => throw new NotSupportedException();
    }
}
