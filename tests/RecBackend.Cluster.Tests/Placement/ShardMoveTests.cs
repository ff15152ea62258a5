using Microsoft.Extensions.DependencyInjection;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Engine.Contract;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Placement;

namespace RecBackend.Cluster.Tests.Placement;

[Collection(BackingCollection.Name)]
public sealed class ShardMoveTests(Backing backing)
{
    private const int Shards = 12;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task A_silo_that_joins_gets_its_part_of_the_shards_while_items_are_written()
    {
        ClusterEngineOptions options = new() { ItemShards = Shards, ShardsSettle = TimeSpan.FromSeconds(1) };
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", [options], new ManualClock());
        var items = cluster.PortsOf(0).Items;
        await items.UpsertAsync([.. Enumerable.Range(0, 200).Select(i => Item(i, 0))], default);
        Assert.Equal([Shards], Held(cluster));

        using var moved = new CancellationTokenSource();
        var written = 0;
        var writes = Task.Run(WriteAsync);
        try
        {
            await JoinAsync([Shards / 2, Shards / 2]);
            await JoinAsync([Shards / 3, Shards / 3, Shards / 3]);
        }
        finally
        {
            await moved.CancelAsync();
            await writes;
        }

        // What was written while shards moved is there, whoever asks.
        foreach (var silo in Enumerable.Range(0, 3))
        {
            for (var i = 0; i < 200; i++)
            {
                Assert.Equal($"t{written}", (await cluster.PortsOf(silo).Items.GetAsync($"i{i}", default))!.Content.Title);
            }
        }

        async Task JoinAsync(int[] held)
        {
            await cluster.JoinAsync([options]);
            var before = Volatile.Read(ref written);
            using var patience = new CancellationTokenSource(Patience);
            while (!Held(cluster).SequenceEqual(held))
            {
                Assert.False(patience.IsCancellationRequested, $"the silos hold {string.Join(", ", Held(cluster))} shards");
                await Task.Delay(100);
            }

            Assert.True(Volatile.Read(ref written) > before, "no round of writes ended while shards moved");
        }

        async Task WriteAsync()
        {
            while (!moved.IsCancellationRequested)
            {
                await items.UpsertAsync([.. Enumerable.Range(0, 200).Select(i => Item(i, written + 1))], default);
                Interlocked.Increment(ref written);
            }
        }
    }

    private static ItemUpsert Item(int i, int round) => new($"i{i}", new ItemContent { Title = $"t{round}" }, null);

    private static int[] Held(TestCluster cluster) => [.. cluster.Silos.Select(silo => silo.GetRequiredService<ShardHomes>().Held)];
}
