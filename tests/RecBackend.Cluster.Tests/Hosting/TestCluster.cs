using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Users;
using RecBackend.Engine.Contract;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Items;
using StackExchange.Redis;

namespace RecBackend.Cluster.Tests.Hosting;

/// <summary>Silos in this process, which speak to each other over sockets and keep their state in real storage.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    private readonly IReadOnlyList<IHost> _silos;
    private readonly Backing _backing;

    private TestCluster(IReadOnlyList<IHost> silos, Backing backing) => (_silos, _backing) = (silos, backing);

    public IReadOnlyList<IServiceProvider> Silos => [.. _silos.Select(silo => silo.Services)];

    public EnginePorts PortsOf(int silo) => new(Silos[silo].GetRequiredService<IUserDirectory>(), Silos[silo].GetRequiredService<IItemDirectory>(), Silos[silo].GetRequiredService<IItemChangeFeed>());

    public static async Task<TestCluster> StartAsync(Backing backing, string container, int silos, TimeProvider clock, int shards = 4)
    {
        var options = new ClusterEngineOptions { ItemShards = shards };
        return await StartAsync(backing, container, [.. Enumerable.Repeat(options, silos)], clock);
    }

    public static async Task<TestCluster> StartAsync(Backing backing, string container, IReadOnlyList<ClusterEngineOptions> silos, TimeProvider clock)
    {
        var cluster = $"c{Guid.NewGuid():n}";
        var hosts = silos.Select(options => Build(backing, container, cluster, clock, options)).ToList();

        // The first alone: it makes the membership table.
        await hosts[0].StartAsync();
        await Task.WhenAll(hosts.Skip(1).Select(host => host.StartAsync()));
        return new(hosts, backing);
    }

    /// <summary>Waits until the items have counted all acknowledged events.</summary>
    public Task SettleAsync() => Task.WhenAll(Silos.Select(silo => silo.GetRequiredService<ItemCounter>().FlushAsync()));

    /// <summary>The digests of all items, as their shards have them.</summary>
    public async Task<CatalogDigest[]> DigestsAsync()
    {
        var truth = new CatalogDigest[ItemCatalog.DigestShards];
        foreach (var shard in Silos[0].GetRequiredService<ItemShards>().All)
        {
            foreach (var digest in (await shard.CompareAsync(null)).Digests)
            {
                truth[digest.Digest] = truth[digest.Digest].And(new(digest.Count, digest.Hash));
            }
        }

        return truth;
    }

    /// <summary>Stops as a host stops that is told to: what is gathered is sent, grains are written.</summary>
    public Task StopAsync() => Task.WhenAll(_silos.Select(silo => silo.StopAsync()));

    /// <summary>Lets the silos end on their own: a stop takes seconds, and the next test has its own cluster.</summary>
    public ValueTask DisposeAsync()
    {
        _backing.Await(EndAsync());
        return default;
    }

    private async Task EndAsync()
    {
        await Task.WhenAll(_silos.Select(silo => silo.StopAsync(new CancellationToken(canceled: true))));
        foreach (var silo in _silos)
        {
            silo.Dispose();
        }
    }

    private static IHost Build(Backing backing, string container, string cluster, TimeProvider clock, ClusterEngineOptions engine)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders().SetMinimumLevel(LogLevel.Warning);
        builder.UseOrleans(silo => silo
            .Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (cluster, "recbackend"))
            .ConfigureEndpoints("127.0.0.1", LoopbackServer.FreePort(), LoopbackServer.FreePort())
            .UseRedisClustering(options => options.ConfigurationOptions = ConfigurationOptions.Parse(backing.Redis))
            .UseRecBackendTimeouts()
            .AddRecBackendEngine(backing.Blobs, container, engine, clock));
        return builder.Build();
    }
}
