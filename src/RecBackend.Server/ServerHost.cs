using RecBackend.Core.Models;
using RecBackend.Embedded;
using RecBackend.Hosting;
using RecBackend.Http;
using RecBackend.Http.Hosting;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Server;

/// <summary>Composes and runs the host of the embedded engine.</summary>
internal static class ServerHost
{
    /// <summary>Runs until the process is told to stop.</summary>
    /// <exception cref="Http.Configuration.ConfigurationException">A setting is wrong; the message names it.</exception>
    /// <exception cref="Core.Storage.StorageException">The state folder cannot be used.</exception>
    /// <exception cref="IOException">An address is in use.</exception>
    public static async Task RunAsync(string[] args)
    {
        var builder = ServingHost.CreateBuilder(args);
        var options = ServerOptions.Read(builder.Configuration);
        var serving = options.Serving;
        builder.AddServing<ServerStarter>(new RecBackendHttpOptions
        {
            Development = serving.Development,
            Address = options.Address,
            ConcurrentRuns = serving.Scoring.EffectiveConcurrency,
            TemporaryFolder = Path.Combine(serving.State, "incoming"),
        });
        builder.WebHost.RunCallsOnSocketThreads();

        using var loggers = builder.CreateLoggers();
        using var scoring = ServingEngineServices.StartScoring(serving.Scoring, TimeProvider.System, loggers);
        var settings = new EmbeddedOptions { Directory = serving.State, UserCacheBytes = (long)options.UserCacheMiB << 20 };
        await using var storage = await EmbeddedEngine.OpenAsync(settings, TimeProvider.System, loggers.CreateLogger<EmbeddedEngine>(), progress: null, CancellationToken.None);
        builder.Services
            .AddSingleton(options)
            .AddSingleton(scoring.Demand)
            .AddSingleton(storage.Users)
            .AddSingleton(storage.Items)
            .AddSingleton(storage.Changes)
            .AddSingleton<IBundleStore>(new FileBundleStore(serving.State, scoring, loggers.CreateLogger<FileBundleStore>()))
            .AddServingEngine(serving);

        await using var app = builder.Build();
        await app.ServeAsync();
    }
}
