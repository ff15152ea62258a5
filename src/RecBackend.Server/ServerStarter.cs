using RecBackend.Hosting;
using RecBackend.Http.Health;

namespace RecBackend.Server;

/// <summary>Loads the bundles that were active, fills the catalogue, and activates the configured bundle.</summary>
internal sealed class ServerStarter(ServingEngine engine, ServerOptions options, EngineStart start, IHostApplicationLifetime lifetime, ILogger<ServerStarter> log)
    : EngineStarter(engine, start, lifetime, log)
{
    protected override async Task StartEngineAsync(CancellationToken stopping)
    {
        await StartModelsAsync(stopping);
        LetCallsThrough();
        if (options.Bundle is { } bundle)
        {
            await ActivateAsync(bundle, stopping);
        }

        TellStarted();
    }

    private async Task ActivateAsync(string bundle, CancellationToken cancellation)
    {
        await using var zip = await BundleZip.OpenAsync(bundle, cancellation);
        var added = await Engine.Bundles.AddAsync(zip, cancellation);
        var status = Engine.Models.Status;
        var configured = new ConfiguredBundle(options.Serving.State);
        if (status.Active is { } active && configured.Last == added.Version)
        {
            if (active != added.Version)
            {
                log.LogWarning("The configured bundle {Bundle} is that of the last start, and {Active} was activated since; it is left so. Activate {Bundle} by a call if it is to answer again", added.Version, active, added.Version);
            }

            return;
        }

        await TellingAsync($"Activating {added.Version}", progress => Engine.Models.ActivateAsync(added.Version, progress, cancellation));
        configured.Record(added.Version);
    }
}
