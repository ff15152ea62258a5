using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;

namespace RecBackend.Grains.Models;

/// <inheritdoc cref="IModelReplica"/>
[Reentrant]
internal sealed class ModelReplica(GrainId id, Silo silo, ILoggerFactory loggers, ISharedBundles bundles) : GrainService(id, silo, loggers), IModelReplica
{
    public async Task<ModelRefusal?> FetchAsync(string version)
    {
        try
        {
            // Not on the scheduler of the grain service: more calls come meanwhile.
            await Task.Run(() => bundles.FetchAsync(version, CancellationToken.None));
            return null;
        }
        catch (Exception error)
        {
            return SiloModels.RefusalOf(error);
        }
    }
}

/// <summary>Calls the replica of a silo.</summary>
internal sealed class ModelReplicas(IServiceProvider services) : GrainServiceClient<IModelReplica>(services)
{
    public IModelReplica this[SiloAddress silo] => GetGrainService(silo);
}
