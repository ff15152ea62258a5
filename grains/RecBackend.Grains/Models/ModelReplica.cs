using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using RecBackend.Core.Jobs;

namespace RecBackend.Grains.Models;

/// <inheritdoc cref="IModelReplica"/>
[Reentrant]
internal sealed class ModelReplica(GrainId id, Silo silo, ILoggerFactory loggers, SiloModels models) : GrainService(id, silo, loggers), IModelReplica
{
    public Task<ModelRefusal?> FetchAsync(string version) => models.FetchAsync(version);

    public Task<ModelRefusal?> PrepareAsync(ModelChange change) => models.PrepareAsync(change, new JobProgress(), CancellationToken.None);

    public Task SwitchAsync(Guid change) => models.SwitchAsync(change);

    public Task AbandonAsync(Guid change) => models.AbandonAsync(change);
}

/// <summary>Calls the replica of a silo.</summary>
internal sealed class ModelReplicas(IServiceProvider services) : GrainServiceClient<IModelReplica>(services)
{
    public IModelReplica this[SiloAddress silo] => GetGrainService(silo);
}
