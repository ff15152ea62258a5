using RecBackend.Gateway.Cluster;
using RecBackend.Gateway.Health;
using RecBackend.Gateway.Problems;
using RecBackend.Gateway.Routing;
using RecBackend.Gateway.Tracing;
using RecBackend.Http;
using RecBackend.Http.Authentication;
using RecBackend.Http.Hosting;
using RecBackend.Http.Metrics;
using RecBackend.Http.Problems;
using RecBackend.Http.Wire;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Health;

namespace RecBackend.Gateway;

/// <summary>Composes the gateway: request IDs, problem details, keys, limits, and then YARP.</summary>
internal static class GatewayHost
{
    /// <summary>Builds a gateway that is ready to run.</summary>
    /// <exception cref="Http.Configuration.ConfigurationException">A setting is wrong; the message names it.</exception>
    public static WebApplication Build(string[] args)
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        var (configuration, services) = (builder.Configuration, builder.Services);
        builder.Logging.UseOneLineConsole();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.LimitSlowCallers());

        var limits = HttpLimits.Read(configuration);
        services
            .AddSingleton(TimeProvider.System)
            .AddSingleton(limits)
            .AddApiKeys(configuration, new ApiKeyPolicy(configuration.GetValue("RecBackend:Development", false)))
            .AddAdmission(limits)
            .AddTelemetry(configuration, "recbackend-gateway")
            .AddRequestTimeouts()
            .AddSingleton<GatewayHealth>()
            .Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(30))
            .AddSingleton<IActiveHealthCheckPolicy, ProbeVerdictPolicy>()
            .Configure<TransportFailureRateHealthPolicyOptions>(DestinationHealth.Configure);
        AddProxy(services, configuration, limits);

        var app = builder.Build();
        app.UseMiddleware<RequestIdMiddleware>();
        app.UseProblems();
        app.UsePlainTargets();
        app.UseRouting();
        app.UseApiKeys();
        app.UseRateLimiter();

        // Outside of the timeouts: within, a call that ran out of time looks like one whose caller has gone away.
        app.UseMiddleware<ForwarderProblemMiddleware>();
        app.UseRequestTimeouts();
        app.MapHealth();
        app.MapPrometheus();
        app.MapReverseProxy(proxy =>
        {
            proxy.UseMiddleware<RankTimeoutMiddleware>();
            proxy.UseMiddleware<RetryMiddleware>();
            proxy.UseLoadBalancing();
            proxy.UsePassiveHealthChecks();
            proxy.UseMiddleware<SilentHostMiddleware>();
        }).RequireScopeOfRoute();
        return app;
    }

    private static void AddProxy(IServiceCollection services, ConfigurationManager configuration, HttpLimits limits)
    {
        var proxy = services.AddReverseProxy()
            .ConfigureHttpClient((_, handler) => ProxyConnections.Configure(handler))
            .AddTransforms<ExactPathTransform>();
        if (ClusterOptions.Read(configuration) is { } cluster)
        {
            services
                .AddSingleton(cluster)
                .AddSingleton<FollowedCluster>()
                .AddSingleton<IProxyConfigProvider>(provider => provider.GetRequiredService<FollowedCluster>())
                .AddHostedService<ClusterPoll>();
            return;
        }

        var own = configuration.GetSection("ReverseProxy");
        if (own.Exists())
        {
            proxy.LoadFromConfig(own);
            return;
        }

        services.AddSingleton<IProxyConfigProvider>(new DestinationsConfig(configuration, limits));
    }
}
