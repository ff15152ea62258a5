using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Core.Users;
using RecBackend.Engine.Contract;
using RecBackend.Grains.Catalog;
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

        // Nobody publishes to this feed but the repair.
        var feed = new ReplicaFeed(NullLogger<ReplicaFeed>.Instance);
        await using var models = new ModelDirectory(new NoBundles(), items, feed, new ModelDirectoryOptions());
        await models.StartAsync(new JobProgress(), default);
        var repair = new CatalogRepair(cluster.Silos[1].GetRequiredService<ItemShards>(), models, feed, NullLogger<CatalogRepair>.Instance);

        await items.UpsertAsync([.. Enumerable.Range(0, 500).Select(i => new ItemUpsert($"i{i}", new ItemContent { Title = "x" }, null))], default);
        Assert.Equal(500, await repair.RunAsync(default));
        Assert.Equal(500, models.Status.Items);
        Assert.Equal(0, await repair.RunAsync(default));

        await items.DeleteAsync(["i1", "i2"], default);
        await items.UpsertAsync([new("i3", new ItemContent { Title = "y" }, null), new("new", new ItemContent(), null)], default);
        await users.AppendAsync([new("e", InteractionEvent.Click, "u", "i4", 1, null)], default);
        await cluster.SettleAsync();
        Assert.Equal(5, await repair.RunAsync(default));
        Assert.Equal(499, models.Status.Items);
        using var lease = models.Lease();
        var digests = await cluster.DigestsAsync();
        Assert.Equal(digests, Enumerable.Range(0, ItemCatalog.DigestShards).Select(lease.Catalog.Digest));
    }

    [Fact]
    public async Task Lost_change_of_a_row_is_not_hidden_by_a_later_count()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 1, new ManualClock());
        var items = cluster.PortsOf(0).Items;
        var feed = new ReplicaFeed(NullLogger<ReplicaFeed>.Instance);
        await using var models = new ModelDirectory(new NoBundles(), items, feed, new ModelDirectoryOptions());
        await models.StartAsync(new JobProgress(), default);
        var repair = new CatalogRepair(cluster.Silos[0].GetRequiredService<ItemShards>(), models, feed, NullLogger<CatalogRepair>.Instance);
        await items.UpsertAsync([new("i", new ItemContent(), null)], default);
        await repair.RunAsync(default);

        var version = (await items.UpsertAsync([new("i", new ItemContent(), null)], default))[0];
        feed.Publish([new("i", version, ItemChangeKind.Counted, null, ItemCounters.None)]);
        Assert.Equal(1, await repair.RunAsync(default));
        Assert.Equal(0, await repair.RunAsync(default));
    }

    [Fact]
    public async Task Candidate_that_a_silo_was_not_told_of_is_read_and_ranked_and_told()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 1, new ManualClock());
        var items = cluster.PortsOf(0).Items;
        var feed = new ReplicaFeed(NullLogger<ReplicaFeed>.Instance);
        await using var models = new ModelDirectory(new NoBundles(), items, feed, new ModelDirectoryOptions());
        await models.StartAsync(new JobProgress(), default);
        var clock = new ManualClock();
        var ranker = new RankingPipeline(models, cluster.PortsOf(0).Users, clock, new MissingItems(cluster.Silos[0].GetRequiredService<ItemShards>(), feed, clock, TimeSpan.FromMinutes(1)));
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
        var feed = new ReplicaFeed(NullLogger<ReplicaFeed>.Instance);
        await using var models = new ModelDirectory(new NoBundles(), items, feed, new ModelDirectoryOptions());
        await models.StartAsync(new JobProgress(), default);
        var repair = new CatalogRepair(cluster.Silos[0].GetRequiredService<ItemShards>(), models, feed, NullLogger<CatalogRepair>.Instance);
        await items.UpsertAsync([.. Enumerable.Range(0, 50).Select(i => new ItemUpsert($"i{i}", new ItemContent(), null))], default);
        Assert.Equal(50, await repair.RunAsync(default));

        // Items that never were, as if their deletion had been lost long ago.
        feed.Publish([new("ghost", 1, ItemChangeKind.Written, new("ghost", 1, new ItemContent(), ItemCounters.None, []), ItemCounters.None)]);
        Assert.Equal(51, models.Status.Items);
        Assert.Equal(0, await repair.RunAsync(default));
        Assert.Equal(1, await repair.RunAsync(default));
        Assert.Equal(50, models.Status.Items);
    }

    [Fact]
    public async Task Write_is_in_the_catalogue_of_every_silo_when_its_call_returns()
    {
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", silos: 3, new ManualClock());
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

    private sealed class NoBundles : IBundleStore
    {
        public IReadOnlyList<BundleSummary> List() => [];

        public ValueTask<BundleSummary> AddAsync(Stream zip, CancellationToken cancellation) => throw new NotSupportedException();

        public ValueTask<IModel> LoadAsync(string version, CancellationToken cancellation) => throw new NotSupportedException();

        public ActiveVersions ReadActive() => new(null, null);

        public void WriteActive(ActiveVersions versions) => throw new NotSupportedException();
    }
}
