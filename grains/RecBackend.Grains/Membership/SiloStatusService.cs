using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using RecBackend.Grains.Catalog;
using RecBackend.Grains.Placement;

namespace RecBackend.Grains.Membership;

/// <inheritdoc cref="ISiloStatus"/>
[Reentrant]
internal sealed class SiloStatusService(GrainId id, Silo silo, ILoggerFactory loggers, ISiloSelf self, ShardHomes homes, CatalogRepair? repair = null) : GrainService(id, silo, loggers), ISiloStatus
{
    public Task<SiloReport> ReadAsync() => Task.FromResult(self.Read() with { Lag = repair?.Lag ?? 0, Shards = homes.Held });
}

/// <summary>Calls the status service of a silo.</summary>
internal sealed class SiloStatusServices(IServiceProvider services) : GrainServiceClient<ISiloStatus>(services)
{
    public ISiloStatus this[SiloAddress silo] => GetGrainService(silo);
}
