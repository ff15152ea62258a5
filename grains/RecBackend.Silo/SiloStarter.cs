using RecBackend.Hosting;
using RecBackend.Grains.Placement;
using RecBackend.Http.Health;

namespace RecBackend.Silo;

/// <summary>Starts what the silo's roles ask for, once it is a member of the cluster.</summary>
internal sealed class SiloStarter(ServingEngine engine, SiloHostOptions options, EngineStart start, IHostApplicationLifetime lifetime, ILogger<SiloStarter> log)
    : EngineStarter(engine, start, lifetime, log)
{
    protected override async Task StartEngineAsync(CancellationToken stopping)
    {
        if (options.Cluster.Engine.Roles.HasFlag(SiloRole.Scoring))
        {
            await StartModelsAsync(stopping);
            LetCallsThrough();
            TellStarted();
        }
        else
        {
            LetCallsThrough();
            log.LogInformation("Started: holds users and items, and does not rank");
        }
    }
}
