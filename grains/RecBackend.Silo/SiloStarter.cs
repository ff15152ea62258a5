using RecBackend.Grains.Models;
using RecBackend.Hosting;
using RecBackend.Http.Health;

namespace RecBackend.Silo;

/// <summary>Starts what the silo's roles ask for, once it is a member of the cluster.</summary>
internal sealed class SiloStarter(ServingEngine engine, EngineStart start, IHostApplicationLifetime lifetime, ILogger<SiloStarter> log, ModelFollower? follower = null)
    : EngineStarter(engine, start, lifetime, log)
{
    protected override async Task StartEngineAsync(CancellationToken stopping)
    {
        if (follower is not null)
        {
            await follower.LearnAsync(stopping);
            await StartModelsAsync(stopping);

            // The models were changed meanwhile, perhaps.
            await follower.JoinAsync(stopping);
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
