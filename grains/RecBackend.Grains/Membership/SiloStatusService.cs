using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using RecBackend.Grains.Catalog;

namespace RecBackend.Grains.Membership;

/// <inheritdoc cref="ISiloStatus"/>
[Reentrant]
internal sealed class SiloStatusService(GrainId id, Silo silo, ILoggerFactory loggers, ISiloSelf self, CatalogRepair? repair = null) : GrainService(id, silo, loggers), ISiloStatus
{
    public Task<SiloReport> ReadAsync() => Task.FromResult(self.Read() with { Lag = repair?.Lag ?? 0 });
}

/// <summary>Calls the status service of a silo.</summary>
internal sealed class SiloStatusServices(IServiceProvider services) : GrainServiceClient<ISiloStatus>(services)
{
    public ISiloStatus this[SiloAddress silo] => GetGrainService(silo);
}
