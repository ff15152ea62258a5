using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;

namespace RecBackend.Grains.Catalog;

/// <inheritdoc cref="ICatalogReplica"/>
[Reentrant]
internal sealed class CatalogReplica(GrainId id, Silo silo, ILoggerFactory loggers, ReplicaFeed feed) : GrainService(id, silo, loggers), ICatalogReplica
{
    public Task ApplyAsync(Immutable<ItemChangeMessage[]> changes)
    {
        feed.Publish(Array.ConvertAll(changes.Value, change => change.ToChange()));
        return Task.CompletedTask;
    }
}

/// <summary>Calls the replica of a silo.</summary>
internal sealed class CatalogReplicas(IServiceProvider services) : GrainServiceClient<ICatalogReplica>(services)
{
    public ICatalogReplica this[SiloAddress silo] => GetGrainService(silo);
}
