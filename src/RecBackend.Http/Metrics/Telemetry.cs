using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace RecBackend.Http.Metrics;

/// <summary>
/// Collects what the process counts, for <c>/metrics</c>, and sends it, with traces, to where <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> points. Without that variable nothing leaves the process and
/// no trace is kept.
/// </summary>
public sealed class Telemetry : IHostedService, IDisposable
{
    /// <summary>The variable, and configuration key, that OpenTelemetry defines.</summary>
    public const string EndpointKey = "OTEL_EXPORTER_OTLP_ENDPOINT";

    // Requests' own duration by route and status, connections, the runtime's memory, collections and threads.
    private static readonly string[] Meters =
        ["RecBackend*", "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime"];

    private readonly MeterProvider _metrics;
    private readonly TracerProvider? _traces;

    internal Telemetry(PrometheusText text, string service, string? endpoint)
    {
        var resource = ResourceBuilder.CreateDefault().AddService(service);
        var metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter(Meters).AddReader(new BaseExportingMetricReader(text));
        if (endpoint is not null)
        {
            metrics.AddOtlpExporter(otlp => otlp.Endpoint = new Uri(endpoint));
            _traces = Sdk.CreateTracerProviderBuilder()
                .SetResourceBuilder(resource)
                .AddSource("Microsoft.AspNetCore", "System.Net.Http", "RecBackend*", "Yarp.ReverseProxy")
                .AddOtlpExporter(otlp => otlp.Endpoint = new Uri(endpoint))
                .Build();
        }

        _metrics = metrics.Build();
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        _metrics.ForceFlush(1_000);
        _traces?.ForceFlush(1_000);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _metrics.Dispose();
        _traces?.Dispose();
    }
}

/// <summary>Adds telemetry to a host.</summary>
public static class TelemetryExtensions
{
    /// <summary>Collects metrics for <c>/metrics</c> and, where an endpoint is configured, sends them and traces by OTLP.</summary>
    /// <exception cref="Configuration.ConfigurationException">The endpoint is not a URL.</exception>
    public static IServiceCollection AddTelemetry(this IServiceCollection services, IConfiguration configuration, string service)
    {
        var endpoint = configuration[Telemetry.EndpointKey];
        if (endpoint is not null && !Uri.TryCreate(endpoint, UriKind.Absolute, out _))
        {
            throw new Configuration.ConfigurationException(Telemetry.EndpointKey, $"is '{endpoint}', which is not a URL.");
        }

        var name = configuration["OTEL_SERVICE_NAME"] ?? service;
        return services
            .AddMetrics()
            .AddSingleton<PrometheusText>()
            .AddSingleton<HttpMetrics>()
            .AddHostedService(provider => new Telemetry(provider.GetRequiredService<PrometheusText>(), name, endpoint));
    }
}
