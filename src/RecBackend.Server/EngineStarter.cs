using RecBackend.Core.Jobs;
using RecBackend.Http.Health;

namespace RecBackend.Server;

/// <summary>Loads the bundles that were active, fills the catalogue, and activates the configured bundle, while the host listens already. Ends the host if that fails.</summary>
internal sealed class EngineStarter(
    Engine engine, ServerOptions options, EngineStart start, IHostApplicationLifetime lifetime, ILogger<EngineStarter> log) : BackgroundService
{
    private static readonly TimeSpan TellEvery = TimeSpan.FromSeconds(2);

    /// <summary>Why the start failed, or null.</summary>
    public Exception? Failure { get; private set; }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await TellingAsync("Filling the catalogue", progress => engine.Models.StartAsync(progress, stoppingToken), stoppingToken);
            if (engine.Models.Status.Problem is { } problem)
            {
                log.LogError("The bundle that was active cannot be loaded; rankings are answered by the fallback. {Code}: {Reason}", problem.Code, problem.Message);
            }

            start.Complete();
            if (options.Bundle is { } bundle)
            {
                await ActivateAsync(bundle, stoppingToken);
            }

            var status = engine.Models.Status;
            log.LogInformation("Started: model {Model}, {Items} items in the catalogue", status.Active ?? "none", status.Items);
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

    private async Task ActivateAsync(string bundle, CancellationToken cancellation)
    {
        await using var zip = await BundleZip.OpenAsync(bundle, cancellation);
        var added = await engine.Bundles.AddAsync(zip, cancellation);
        if (engine.Models.Status.Active == added.Version)
        {
            return;
        }

        await TellingAsync($"Activating {added.Version}", progress => engine.Models.ActivateAsync(added.Version, progress, cancellation), cancellation);
    }

    /// <summary>Runs <paramref name="work"/> and logs its progress.</summary>
    private async Task TellingAsync(string what, Func<JobProgress, Task> work, CancellationToken cancellation)
    {
        var progress = new JobProgress();
        var running = work(progress);
        while (await Task.WhenAny(running, Task.Delay(TellEvery, cancellation)) != running)
        {
            log.LogInformation("{What}: {Done} of {Total} items", what, progress.Done, progress.Total);
        }

        await running;
    }
}
