using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using RecBackend.Core.Catalog;
using RecBackend.Core.Models;

namespace RecBackend.Grains.Catalog;

/// <inheritdoc cref="ICatalogReplica"/>
[Reentrant]
internal sealed class CatalogReplica(GrainId id, Silo silo, ILoggerFactory loggers, ReplicaFeed feed, ModelDirectory? models = null) : GrainService(id, silo, loggers), ICatalogReplica
{
    public Task ApplyAsync(Immutable<ItemChangeMessage[]> changes)
    {
        feed.Publish(Array.ConvertAll(changes.Value, change => change.ToChange()));
        return Task.CompletedTask;
    }

    // Not on the scheduler of the grain service, where changes are applied.
    public Task<CatalogPage?> ReadRowsAsync(string[] bundles, int from, RowPrecision precision) => Task.Run(() =>
    {
        ServingModel[] filled = [.. bundles.Select(bundle => models?.Filled(bundle)).OfType<ServingModel>()];
        var serves = bundles.Length > 0 && filled.Length == bundles.Length && Array.TrueForAll(filled, one => one.Catalog.Precision == precision || one.Catalog.Precision == RowPrecision.Single);
        return serves ? CatalogPage.Read(filled, from) : null;
    });
}

/// <summary>Calls the replica of a silo.</summary>
internal sealed class CatalogReplicas(IServiceProvider services) : GrainServiceClient<ICatalogReplica>(services)
{
    public ICatalogReplica this[SiloAddress silo] => GetGrainService(silo);
}
