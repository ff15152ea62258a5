using Azure.Storage.Blobs;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Placement;
using Orleans.Runtime.MembershipService.SiloMetadata;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Core.Users;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Catalog;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Items;
using RecBackend.Grains.Jobs;
using RecBackend.Grains.Membership;
using RecBackend.Grains.Models;
using RecBackend.Grains.Placement;
using RecBackend.Grains.Storage;
using RecBackend.Grains.Users;

namespace RecBackend.Grains.Hosting;

/// <summary>Adds the engine for a cluster to a silo: users, items and their changes behind the ports of <c>Core</c>.</summary>
public static class ClusterEngine
{
    /// <summary>Adds the grains, their storage, and <see cref="IUserDirectory"/>, <see cref="IItemDirectory"/> and <see cref="IItemChangeFeed"/>.</summary>
    /// <param name="silo">The silo.</param>
    /// <param name="blobs">The account that holds all state.</param>
    /// <param name="container">The container of this cluster's state.</param>
    /// <param name="options">Settings.</param>
    /// <param name="clock">The time that users and items go by; null = the system's.</param>
    public static ISiloBuilder AddRecBackendEngine(
        this ISiloBuilder silo, BlobServiceClient blobs, string container, ClusterEngineOptions options, TimeProvider? clock = null)
    {
        options.Validate();
        silo.AddAzureBlobGrainStorage(GrainStorageName.Value, storage =>
        {
            storage.BlobServiceClient = blobs;
            storage.ContainerName = container;
            storage.GrainStorageSerializer = new MessagePackStateSerializer();

            // A user who is erased leaves nothing behind.
            storage.DeleteStateOnClear = true;
        });
        silo.UseSiloMetadata(SiloMetadataKeys.Of(options.Roles, options.Address));
        silo.AddGrainService<CatalogReplica>();
        silo.AddGrainService<CountRoster>();
        silo.AddPlacementDirector<ShardHomePlacement, ShardHomeDirector>();
        silo.Services
            .AddPlacementFilter<EntitySilos, EntitySilosDirector>(ServiceLifetime.Transient)
            .AddSingleton(services =>
            {
                var (membership, metadata) = (services.GetRequiredService<IClusterMembershipService>(), services.GetRequiredService<ISiloMetadataCache>());
                return new ShardHomes(() => metadata.EntitySilosOf(membership.CurrentSnapshot), options.ItemShards, TimeProvider.System);
            })
            .AddSingleton(options)
            .AddSingleton(new EngineClock(clock ?? TimeProvider.System))
            .AddSingleton(services => new ItemShards(services.GetRequiredService<IGrainFactory>(), options.ItemShards))
            .AddSingleton(_ => new SegmentCache(options.ContentCacheBytes))
            .AddSingleton(_ => new UserCopies(options.UserCacheBytes))
            .AddSingleton<ShardTurns>()
            .AddSingleton<ItemCounter>()
            .AddSingleton<ScoringSilos>()
            .AddSingleton<IScoringSilos>(services => services.GetRequiredService<ScoringSilos>())
            .AddSingleton<RosterBook>()
            .AddSingleton<IRoster, RosterSender>()
            .AddSingleton<ILifecycleParticipant<ISiloLifecycle>, CounterLifecycle>()
            .AddSingleton<ReplicaFeed>()
            .AddSingleton<CatalogReplicas>()
            .AddSingleton<CatalogCopy>()
            .AddSingleton<IMissingItems>(services => new MissingItems(services.GetRequiredService<ItemShards>(), services.GetRequiredService<ReplicaFeed>(), TimeProvider.System, MissingItems.Patience))
            .AddSingleton<IItemChangeSink, CatalogBroadcast>()
            .AddSingleton<IItemChangeFeed>(services => services.GetRequiredService<ReplicaFeed>())
            .AddSingleton<IUserDirectory, GrainUserDirectory>()
            .AddSingleton<IItemDirectory, GrainItemDirectory>();
        return silo;
    }

    /// <summary>Keeps the catalogue of this silo equal to the items of the cluster. For silos that score; needs a <see cref="ModelDirectory"/>.</summary>
    public static IServiceCollection AddRecBackendCatalogRepair(this IServiceCollection services)
    {
        services.TryAddSingleton<CatalogRepair>();
        return services.AddHostedService(provider => provider.GetRequiredService<CatalogRepair>());
    }

    /// <summary>Lets the scoring silos change their models together. For silos that score; needs a <see cref="ModelDirectory"/>, a <see cref="JobBoard"/> and <see cref="ISharedBundles"/>, and the host runs the <see cref="ModelFollower"/>.</summary>
    public static ISiloBuilder AddClusterModels(this ISiloBuilder silo)
    {
        silo.AddGrainService<ModelReplica>();
        silo.AddGrainService<SiloJobs>();
        silo.Services
            .AddSingleton<SiloJobServices>()
            .AddSingleton<IJobDirectory, ClusterJobs>()
            .AddSingleton<ModelReplicas>()
            .AddSingleton<SiloModels>()
            .AddSingleton<ClusterModels>()
            .AddSingleton<IEncodingDuty>(services => new EncodingDuty(services.GetRequiredService<IScoringSilos>(), services.GetRequiredService<ILocalSiloDetails>(), TimeProvider.System))
            .AddSingleton<IModelSwitch>(services => services.GetRequiredService<ClusterModels>())
            .AddSingleton(services => new BundleNews(
                services.GetRequiredService<ScoringSilos>(), services.GetRequiredService<ModelReplicas>(), services.GetRequiredService<ILogger<BundleNews>>()))
            .AddSingleton(services => new ModelFollower(
                services.GetRequiredService<IGrainFactory>(), services.GetRequiredService<SiloModels>(), services.GetRequiredService<ModelDirectory>(),
                services.GetRequiredService<ISharedBundles>(), services.GetRequiredService<ILocalSiloDetails>(), services.GetRequiredService<ILogger<ModelFollower>>()))
            .TryAddSingleton<CatalogRepair>();
        return silo;
    }

    /// <summary>Lets the silos ask each other how they are: adds <see cref="ClusterMembers"/>.</summary>
    /// <typeparam name="TSelf">Tells it of this silo.</typeparam>
    public static ISiloBuilder AddSiloStatus<TSelf>(this ISiloBuilder silo)
        where TSelf : class, ISiloSelf
    {
        silo.AddGrainService<SiloStatusService>();
        silo.Services
            .AddSingleton<ISiloSelf, TSelf>()
            .AddSingleton<SiloStatusServices>()
            .AddSingleton(services => new ClusterMembers(
                services.GetRequiredService<IClusterMembershipService>(), services.GetRequiredService<ISiloMetadataCache>(), services.GetRequiredService<SiloStatusServices>(),
                services.GetRequiredService<ItemShards>()));
        return silo;
    }

    /// <summary>
    /// Times after which a silo that died is given up, and a start that waits for it. The defaults of the times, three probes ten seconds apart and calls that wait thirty, keep callers of a killed silo waiting for half a minute.
    /// </summary>
    public static ISiloBuilder UseRecBackendMembership(this ISiloBuilder silo) => silo
        .ConfigureServices(services => services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(provider => new SilentSilos(
            provider.GetRequiredService<IMembershipTable>(), provider.GetRequiredService<ILocalSiloDetails>(), provider.GetRequiredService<IOptions<ClusterMembershipOptions>>(),
            TimeProvider.System, provider.GetRequiredService<ILogger<SilentSilos>>())))
        .Configure<ClusterMembershipOptions>(membership =>
        {
            // Two missed probes, one second apart: a pause of a second for collection or a busy machine is survived, a killed silo is out after about two.
            membership.ProbeTimeout = TimeSpan.FromSeconds(1);
            membership.NumMissedProbesLimit = 2;

            // How old a vote or a reading of the table may be; both follow the probes.
            membership.DeathVoteExpirationTimeout = TimeSpan.FromSeconds(20);
            membership.TableRefreshTimeout = TimeSpan.FromSeconds(5);

            // Where all silos died at once those that start give them up, once their signs of life are as old as three of these: SilentSilos.
            membership.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(2);
            membership.NumMissedTableIAmAliveLimit = 3;
        })

        // Longer than any reading call of this project takes, shorter than callers wait. Calls that write say how long they wait.
        .Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = TimeSpan.FromSeconds(3))

        // A shard that is cut off while it loads begins anew. Hundreds of them wait for their turn where a large silo has died, and those of version 0.1 read all their content.
        .Configure<GrainCollectionOptions>(activations => activations.ActivationTimeout = GrainCall.WhileLoading);

    private sealed class CounterLifecycle(ItemCounter counter, RosterBook book) : ILifecycleParticipant<ISiloLifecycle>
    {
        // Stopped first, while the shards that take its counts still run.
        public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(ItemCounter), ServiceLifecycleStage.Active, StartAsync, StopAsync);

        private Task StartAsync(CancellationToken cancellation)
        {
            book.Start();
            return Task.CompletedTask;
        }

        private async Task StopAsync(CancellationToken cancellation)
        {
            await book.DisposeAsync();
            await counter.DisposeAsync();
        }
    }
}
