using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RecBackend.Core.Jobs;
using RecBackend.Http.Health;

namespace RecBackend.Hosting;

/// <summary>Brings a host's engine up while the host listens already, and closes it before the engine's store goes. Ends the host if the start fails.</summary>
public abstract class EngineStarter(ServingEngine engine, EngineStart start, IHostApplicationLifetime lifetime, ILogger log) : BackgroundService
{
    private static readonly TimeSpan TellEvery = TimeSpan.FromSeconds(2);

    /// <summary>Why the start failed, or null.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>The engine.</summary>
    protected ServingEngine Engine { get; } = engine;

    /// <inheritdoc/>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await Engine.CloseAsync();
    }

    /// <summary>Starts the engine. Calls are let through when it says <see cref="LetCallsThrough"/>.</summary>
    protected abstract Task StartEngineAsync(CancellationToken stopping);

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await StartEngineAsync(stoppingToken);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Stopped while it started.
        }
        catch (Exception e)
        {
            Failure = e;
            lifetime.StopApplication();
        }
    }

    /// <summary>Ends the time in which calls are answered with 503.</summary>
    protected void LetCallsThrough() => start.Complete();

    /// <summary>Loads the bundles that were active and fills the catalogue.</summary>
    protected async Task StartModelsAsync(CancellationToken stopping)
    {
        await TellingAsync("Filling the catalogue", progress => Engine.Models.StartAsync(progress, stopping));
        if (Engine.Models.Status.Problem is { } problem)
        {
            log.LogError(
                "A bundle that was active cannot be loaded; rankings are answered by {Model}. {Code}: {Reason}",
                Engine.Models.Status.Active ?? "the fallback", problem.Code, problem.Message);
        }
    }

    /// <summary>Logs what the host serves with.</summary>
    protected void TellStarted()
    {
        var status = Engine.Models.Status;
        log.LogInformation("Started: model {Model}, {Items} items in the catalogue", status.Active ?? "none", status.Items);
    }

    /// <summary>Runs <paramref name="work"/> and logs its progress.</summary>
    protected async Task TellingAsync(string what, Func<JobProgress, Task> work)
    {
        var progress = new JobProgress();
        var running = work(progress);

        // The delay is not cancelled: it would end at once, again and again, until the work has noticed that it should stop.
        while (await Task.WhenAny(running, Task.Delay(TellEvery, CancellationToken.None)) != running)
        {
            log.LogInformation("{What}: {Done} of {Total} items", what, progress.Done, progress.Total);
        }

        await running;
    }
}
