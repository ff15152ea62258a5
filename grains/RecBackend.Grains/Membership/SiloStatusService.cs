using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;

namespace RecBackend.Grains.Membership;

/// <inheritdoc cref="ISiloStatus"/>
[Reentrant]
internal sealed class SiloStatusService(GrainId id, Silo silo, ILoggerFactory loggers, ISiloSelf self) : GrainService(id, silo, loggers), ISiloStatus
{
    public Task<SiloReport> ReadAsync() => Task.FromResult(self.Read());
}

/// <summary>Calls the status service of a silo.</summary>
internal sealed class SiloStatusServices(IServiceProvider services) : GrainServiceClient<ISiloStatus>(services)
{
    public ISiloStatus this[SiloAddress silo] => GetGrainService(silo);
}
