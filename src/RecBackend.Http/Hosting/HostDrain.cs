using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RecBackend.Http.Configuration;

namespace RecBackend.Http.Hosting;

/// <summary>
/// The time between the order to stop and the end of service. The host says in <c>/v1/cluster</c> and <c>/healthz/ready</c> that it is going, and serves until whoever balances load has taken it out;
/// only then its server closes and its engine stops. Without that, requests that were sent before the news met a closed door.
/// </summary>
public sealed class HostDrain(IConfiguration configuration, RecBackendHttpOptions options, TimeProvider clock, ILogger<HostDrain> log) : IHostedLifecycleService
{
    private const string Key = "RecBackend:DrainSeconds";

    // A mistyped value must not keep a host from stopping for hours.
    private const double Longest = 600;

    private readonly TimeSpan _duration = Read(configuration, options.Drain);
    private volatile bool _underWay;

    /// <summary>Whether the host was told to stop.</summary>
    public bool IsUnderWay => _underWay;

    /// <summary>How long the drain takes.</summary>
    public TimeSpan Duration => _duration;

    /// <summary>Drains. The host calls this before it stops any service, its HTTP server among them.</summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        _underWay = true;
        if (_duration == TimeSpan.Zero)
        {
            return;
        }

        log.LogInformation("Told to stop: serves for {Seconds} s more, until no requests come", _duration.TotalSeconds);
        try
        {
            await Task.Delay(_duration, clock, cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The time to stop in is over: no reason to fail the rest of the stop.
        }
    }

    /// <inheritdoc/>
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private static TimeSpan Read(IConfiguration configuration, TimeSpan absent)
    {
        double seconds;
        try
        {
            seconds = configuration.GetValue(Key, absent.TotalSeconds);
        }
        catch (InvalidOperationException)
        {
            throw new ConfigurationException(Key, $"is '{configuration[Key]}', which is no number.");
        }

        return seconds is >= 0 and <= Longest
            ? TimeSpan.FromSeconds(seconds)
            : throw new ConfigurationException(Key, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"must be 0 to {Longest}."));
    }
}

/// <summary>Registers the drain.</summary>
internal static class HostDrainExtensions
{
    /// <summary>Adds <see cref="HostDrain"/>, and its time to the time that the host has to stop in.</summary>
    public static IServiceCollection AddDrain(this IServiceCollection services)
    {
        services.AddOptions<HostOptions>().PostConfigure<HostDrain>((host, drain) => host.ShutdownTimeout += drain.Duration);
        return services
            .AddSingleton<HostDrain>()
            .AddHostedService(provider => provider.GetRequiredService<HostDrain>());
    }
}
