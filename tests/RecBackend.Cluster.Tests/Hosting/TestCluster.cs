using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using RecBackend.Cli.Up;
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
    private readonly List<IHost> _silos = [];
    private readonly Backing _backing;
    private readonly string _container;
    private readonly TimeProvider _clock;
    private readonly string _cluster = $"c{Guid.NewGuid():n}";

    private TestCluster(Backing backing, string container, TimeProvider clock) => (_backing, _container, _clock) = (backing, container, clock);

    public IReadOnlyList<IServiceProvider> Silos => [.. _silos.Select(silo => silo.Services)];

    public EnginePorts PortsOf(int silo) => new(Silos[silo].GetRequiredService<IUserDirectory>(), Silos[silo].GetRequiredService<IItemDirectory>(), Silos[silo].GetRequiredService<IItemChangeFeed>());

    public static async Task<TestCluster> StartAsync(Backing backing, string container, int silos, TimeProvider clock, int shards = 4)
    {
        var options = new ClusterEngineOptions { ItemShards = shards };
        return await StartAsync(backing, container, [.. Enumerable.Repeat(options, silos)], clock);
    }

    /// <param name="backing">Redis and blobs.</param>
    /// <param name="container">The container of the cluster's state.</param>
    /// <param name="silos">The settings of each silo.</param>
    /// <param name="clock">The time that users and items go by.</param>
    /// <param name="more">What each silo, by its place, has besides the engine.</param>
    public static async Task<TestCluster> StartAsync(
        Backing backing, string container, IReadOnlyList<ClusterEngineOptions> silos, TimeProvider clock, Action<int, ISiloBuilder>? more = null)
    {
        var cluster = new TestCluster(backing, container, clock);

        // The first alone: it makes the membership table.
        await cluster.JoinAsync(silos.Take(1), more);
        await cluster.JoinAsync(silos.Skip(1), more);
        return cluster;
    }

    /// <summary>More silos, at the places after those that are there.</summary>
    public async Task JoinAsync(IEnumerable<ClusterEngineOptions> silos, Action<int, ISiloBuilder>? more = null)
    {
        var joining = silos.Select((options, place) => Build(options, silo => more?.Invoke(_silos.Count + place, silo))).ToList();
        _silos.AddRange(joining);
        await Task.WhenAll(joining.Select(host => host.StartAsync()));
    }

    /// <summary>Ends a silo without giving it time for anything.</summary>
    public Task EndAsync(int silo) => _silos[silo].StopAsync(new CancellationToken(canceled: true));

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

    private IHost Build(ClusterEngineOptions engine, Action<ISiloBuilder> more)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders().SetMinimumLevel(LogLevel.Warning);
        builder.UseOrleans(silo => more(silo
            .Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (_cluster, "recbackend"))
            .ConfigureEndpoints("127.0.0.1", Loopback.FreePort(), Loopback.FreePort())
            .UseRedisClustering(options => options.ConfigurationOptions = ConfigurationOptions.Parse(_backing.Redis))
            .UseRecBackendMembership()
            .AddRecBackendEngine(_backing.Blobs, _container, engine, _clock)));
        return builder.Build();
    }
}
