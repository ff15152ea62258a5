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
            await TellingAsync("Filling the catalogue", progress => engine.Models.StartAsync(progress, stoppingToken));
            if (engine.Models.Status.Problem is { } problem)
            {
                log.LogError(
                    "A bundle that was active cannot be loaded; rankings are answered by {Model}. {Code}: {Reason}",
                    engine.Models.Status.Active ?? "the fallback", problem.Code, problem.Message);
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
        var status = engine.Models.Status;
        var configured = new ConfiguredBundle(options.State);
        if (status.Active is { } active && configured.Last == added.Version)
        {
            if (active != added.Version)
            {
                log.LogWarning("The configured bundle {Bundle} is that of the last start, and {Active} was activated since; it is left so. Activate {Bundle} by a call if it is to answer again", added.Version, active, added.Version);
            }

            return;
        }

        await TellingAsync($"Activating {added.Version}", progress => engine.Models.ActivateAsync(added.Version, progress, cancellation));
        configured.Record(added.Version);
    }

    /// <summary>Runs <paramref name="work"/> and logs its progress.</summary>
    private async Task TellingAsync(string what, Func<JobProgress, Task> work)
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
