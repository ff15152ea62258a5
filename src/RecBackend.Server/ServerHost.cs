using Microsoft.AspNetCore.Server.Kestrel.Core;
using RecBackend.Http;
using RecBackend.Http.Hosting;

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
        // Settings beside the program, not of whatever folder it was started in.
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        var options = ServerOptions.Read(builder.Configuration);
        var http = new RecBackendHttpOptions { Development = options.Development, Address = options.Address, TemporaryFolder = Path.Combine(options.State, "incoming") };
        builder.Services.AddRecBackendHttp(builder.Configuration, http);
        builder.Logging.UseOneLineConsole();
        builder.WebHost.ConfigureKestrel(ConfigureKestrel);

        using var loggers = LoggerFactory.Create(logging => logging.AddConfiguration(builder.Configuration.GetSection("Logging")).UseOneLineConsole());
        await using var engine = await Engine.OpenAsync(options, TimeProvider.System, loggers, CancellationToken.None);
        engine.AddTo(builder.Services);
        builder.Services
            .AddSingleton(engine)
            .AddSingleton(options)
            .AddSingleton<EngineStarter>()
            .AddHostedService(services => services.GetRequiredService<EngineStarter>())
            .Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(30));

        await using var app = builder.Build();
        app.MapRecBackend();
        var starter = app.Services.GetRequiredService<EngineStarter>();
        await app.RunAsync();
        if (starter.Failure is { } failure)
        {
            throw new IOException($"The start failed. {failure.Message}", failure);
        }
    }

    private static void ConfigureKestrel(KestrelServerOptions kestrel)
    {
        kestrel.LimitSlowCallers();

        // Longer than a gateway keeps an idle connection (two minutes), so that the side that sends is the one that closes, and no request meets a closed door.
        kestrel.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(150);
    }
}
