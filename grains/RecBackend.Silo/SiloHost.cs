using System.Globalization;
using System.Net;
using Orleans.Configuration;
using RecBackend.Core.Models;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Models;
using RecBackend.Grains.Placement;
using RecBackend.Hosting;
using RecBackend.Http;
using RecBackend.Http.Cluster;
using RecBackend.Http.Health;
using RecBackend.Scoring.Bundles;
using RecBackend.Silo.Membership;
using RecBackend.Silo.Models;

namespace RecBackend.Silo;

/// <summary>Composes and runs the host of the engine for a cluster.</summary>
internal static class SiloHost
{
    /// <summary>Runs until the process is told to stop.</summary>
    /// <exception cref="Http.Configuration.ConfigurationException">A setting is wrong; the message names it.</exception>
    /// <exception cref="IOException">An address is in use.</exception>
    public static async Task RunAsync(string[] args)
    {
        var builder = ServingHost.CreateBuilder(args);
        var options = SiloHostOptions.Read(builder.Configuration);
        var (serving, cluster) = (options.Serving, options.Cluster);

        // A gateway asks who drains every second, and one silo after another may be slow to tell.
        var drain = cluster.Redis is null ? TimeSpan.Zero : TimeSpan.FromSeconds(3);
        var http = new RecBackendHttpOptions
        {
            Development = serving.Development,
            TemporaryFolder = Path.Combine(serving.State, "incoming"),
            Drain = drain,
            ConcurrentRuns = serving.Scoring.EffectiveConcurrency,
            Scores = cluster.Engine.Roles.HasFlag(SiloRole.Scoring),
        };

        // Services stop in the reverse of this order: the HTTP server, the models, and the silo last, whose grains they all call.
        builder.Host.UseOrleans(silo => Join(silo, cluster, http.Scores));
        builder.Services.AddSingleton<IClusterView, SiloClusterView>();
        builder.AddServing<SiloStarter>(http);

        using var loggers = builder.CreateLoggers();
        using var scoring = ServingEngineServices.StartScoring(serving.Scoring, TimeProvider.System, loggers);
        builder.Services
            .AddSingleton(options)
            .AddSingleton(scoring.Demand)
            .AddSingleton(new FileBundleStore(serving.State, scoring, loggers.CreateLogger<FileBundleStore>()))
            .AddServingEngine(serving);
        if (http.Scores)
        {
            builder.Services
                .AddSingleton<ISharedBundles>(services => new BlobBundleStore(
                    services.GetRequiredService<FileBundleStore>(), serving.State, cluster.Blobs.GetBlobContainerClient(cluster.BundleContainer), services.GetRequiredService<BundleNews>()))
                .AddSingleton<IBundleStore>(services => services.GetRequiredService<ISharedBundles>())
                .AddRecBackendCatalogRepair()
                .AddHostedService(services => services.GetRequiredService<ModelFollower>())
                .AddSingleton<IModelLag, SiloModelLag>();
        }
        else
        {
            builder.Services.AddSingleton<IBundleStore>(services => services.GetRequiredService<FileBundleStore>());
        }

        await using var app = builder.Build();
        await app.ServeAsync();
    }

    private static void Join(ISiloBuilder silo, ClusterSettings cluster, bool scores)
    {
        silo.Configure<ClusterOptions>(names => (names.ClusterId, names.ServiceId) = (cluster.ClusterId, cluster.ServiceId));

        // Silos of one machine differ by their ports, silos of one cluster otherwise by their machines.
        silo.Configure<SiloOptions>(self => self.SiloName = string.Create(CultureInfo.InvariantCulture, $"{Environment.MachineName}:{cluster.SiloPort}"));
        if (cluster.Redis is { } redis)
        {
            silo.UseRedisClustering(membership => membership.ConfigurationOptions = redis);
            silo.ConfigureEndpoints(cluster.AdvertisedAddress, cluster.SiloPort, cluster.GatewayPort, listenOnAnyHostAddress: !IPAddress.IsLoopback(cluster.AdvertisedAddress));
        }
        else
        {
            silo.UseLocalhostClustering(cluster.SiloPort, cluster.GatewayPort, primarySiloEndpoint: null, cluster.ServiceId, cluster.ClusterId);
        }

        silo.UseRecBackendMembership().AddRecBackendEngine(cluster.Blobs, cluster.Container, cluster.Engine).AddSiloStatus<SiloSelf>();
        if (scores)
        {
            silo.AddClusterModels();
        }
    }
}
