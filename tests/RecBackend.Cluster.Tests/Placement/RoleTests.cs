using Microsoft.Extensions.DependencyInjection;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Core.Users;
using RecBackend.Engine.Contract;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Placement;

namespace RecBackend.Cluster.Tests.Placement;

[Collection(BackingCollection.Name)]
public sealed class RoleTests(Backing backing)
{
    [Fact]
    public async Task Users_and_items_live_on_entity_silos_whoever_calls_them()
    {
        ClusterEngineOptions entity = new() { ItemShards = 8, Roles = SiloRole.Entity };
        await using var cluster = await TestCluster.StartAsync(backing, $"t{Guid.NewGuid():n}", [entity, entity with { Roles = SiloRole.Scoring }], new ManualClock());
        for (var silo = 0; silo < 2; silo++)
        {
            var (users, items, _) = cluster.PortsOf(silo);
            await items.UpsertAsync([.. Enumerable.Range(0, 50).Select(i => new ItemUpsert($"{silo}-{i}", new ItemContent { Title = "x" }, null))], default);
            var receipt = await users.AppendAsync([.. Enumerable.Range(0, 50).Select(i => new InteractionEvent($"{silo}-{i}", InteractionEvent.Click, $"{silo}-{i}", $"{silo}-{i}", 1, null))], default);
            Assert.Equal(50, receipt.Accepted);
        }

        var statistics = await cluster.Silos[1].GetRequiredService<IGrainFactory>().GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics();
        var grains = statistics.Where(one => one.GrainType.Contains("UserGrain", StringComparison.Ordinal) || one.GrainType.Contains("ItemShardGrain", StringComparison.Ordinal)).ToList();
        Assert.Equal(100 + 8, grains.Count);
        var home = cluster.Silos[0].GetRequiredService<ILocalSiloDetails>().SiloAddress;
        Assert.All(grains, grain => Assert.Equal(home, grain.SiloAddress));
    }
}
