using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RecBackend.Core.Storage;
using RecBackend.Http;
using RecBackend.Http.Configuration;
using RecBackend.Http.Hosting;

namespace RecBackend.Hosting;

/// <summary>How the programs that serve the API are made and run.</summary>
public static class ServingHost
{
    /// <summary>A builder with the settings that lie beside the program, not those of whatever folder it was started in.</summary>
    public static WebApplicationBuilder CreateBuilder(string[] args) =>
        WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });

    /// <summary>Loggers for what is opened before the host is built.</summary>
    public static ILoggerFactory CreateLoggers(this WebApplicationBuilder builder) =>
        LoggerFactory.Create(logging => logging.AddConfiguration(builder.Configuration.GetSection("Logging")).UseOneLineConsole());

    /// <summary>Adds the HTTP API, its server, the log, and what starts the engine.</summary>
    /// <exception cref="ConfigurationException">Keys or limits are not usable.</exception>
    public static WebApplicationBuilder AddServing<TStarter>(this WebApplicationBuilder builder, RecBackendHttpOptions http)
        where TStarter : EngineStarter
    {
        builder.Services
            .AddRecBackendHttp(builder.Configuration, http)
            .AddSingleton<TStarter>()
            .AddSingleton<EngineStarter>(services => services.GetRequiredService<TStarter>())
            .AddHostedService(services => services.GetRequiredService<TStarter>())
            .Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(30));
        builder.Logging.UseOneLineConsole();
        builder.WebHost.ConfigureKestrel(ConfigureKestrel);
        return builder;
    }

    /// <summary>Serves until the process is told to stop.</summary>
    /// <exception cref="IOException">An address is in use, or the engine could not start.</exception>
    public static async Task ServeAsync(this WebApplication app)
    {
        app.MapRecBackend();
        var starter = app.Services.GetRequiredService<EngineStarter>();
        await app.RunAsync();
        if (starter.Failure is { } failure)
        {
            throw new IOException($"The start failed. {failure.Message}", failure);
        }
    }

    /// <summary>Runs a program. What an operator can put right is one line on the error output; anything else is a defect and shows where it is.</summary>
    /// <param name="program">Its name, before the line.</param>
    /// <param name="run">What it does.</param>
    /// <param name="isForOperator">Which other exceptions an operator can put right.</param>
    /// <returns>The exit status.</returns>
    public static async Task<int> RunAsync(string program, Func<Task> run, Func<Exception, bool>? isForOperator = null)
    {
        try
        {
            await run();
            return 0;
        }
        catch (Exception e) when (e is ConfigurationException or StorageException or IOException or UnauthorizedAccessException || isForOperator?.Invoke(e) == true)
        {
            await Console.Error.WriteLineAsync($"{program}: {e.Message.ReplaceLineEndings(" ")}");
            return 1;
        }
    }

    private static void ConfigureKestrel(KestrelServerOptions kestrel)
    {
        kestrel.LimitSlowCallers();

        // Longer than a gateway keeps an idle connection (two minutes), so that the side that sends is the one that closes, and no request meets a closed door.
        kestrel.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(150);
    }
}
