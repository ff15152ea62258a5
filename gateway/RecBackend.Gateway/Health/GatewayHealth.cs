using RecBackend.Gateway.Routing;
using RecBackend.Http.Authentication;
using Yarp.ReverseProxy;
using Yarp.ReverseProxy.Model;

namespace RecBackend.Gateway.Health;

/// <summary><c>/healthz</c> of the gateway itself: ready when a host is that ranks.</summary>
internal sealed class GatewayHealth(IProxyStateLookup proxy)
{
    /// <summary>Answers 200 if a host is ready, else 503, with what is known of each. Hosts go by the names that the configuration gives them: anybody may ask, and addresses are not for anybody.</summary>
    public IResult Ready()
    {
        var hosts = proxy.GetClusters()
            .OrderByDescending(cluster => cluster.ClusterId == ApiClusters.Rank)
            .SelectMany(cluster => cluster.Destinations.Values)
            .DistinctBy(host => host.DestinationId)
            .ToList();

        // A host that only holds users and items ranks nothing. An operator's own configuration may have no cluster of this name.
        var ranking = proxy.TryGetCluster(ApiClusters.Rank, out var rank) ? rank.Destinations.Values : hosts;
        var ready = ranking.Any(IsReady);
        return Results.Json(
            new { status = ready ? "ready" : "not_ready", hosts = hosts.ToDictionary(host => host.DestinationId, Words) },
            statusCode: ready ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
    }

    private static bool IsReady(DestinationState host) => host.Health.Active == Yarp.ReverseProxy.Model.DestinationHealth.Healthy && host.Health.Passive != Yarp.ReverseProxy.Model.DestinationHealth.Unhealthy;

    private static string Words(DestinationState host) => IsReady(host) ? "ready" : host.Health.Active == Yarp.ReverseProxy.Model.DestinationHealth.Unknown ? "unknown" : "not_ready";
}

/// <summary>Adds the gateway's own health.</summary>
internal static class GatewayHealthExtensions
{
    public static void MapHealth(this WebApplication app)
    {
        var health = app.Services.GetRequiredService<GatewayHealth>();
        app.MapGet("/healthz/live", () => Results.Json(new { status = "live" })).AllowEverybody();
        app.MapGet("/healthz/ready", health.Ready).AllowEverybody();
    }
}
