using System.Globalization;
using RecBackend.Http;
using RecBackend.Http.Authentication;
using RecBackend.Http.Configuration;
using Yarp.ReverseProxy.Configuration;

namespace RecBackend.Gateway.Routing;

/// <summary>One route for each kind of call, with the time, the size and the key that it is given.</summary>
internal static class ApiRoutes
{
    /// <summary>Name of the metadata entry that holds a route's scopes, as <see cref="ApiScope"/> reads them.</summary>
    public const string ScopeKey = "Scope";

    /// <summary>Name of the metadata entry that holds the milliseconds of a ranking, as <see cref="RankTimeoutMiddleware"/> reads them.</summary>
    public const string RankTimeoutKey = "RankTimeoutMs";

    /// <summary>Name of the metadata entry of a route whose calls may be made twice, as <see cref="RetryMiddleware"/> reads it.</summary>
    public const string RepeatableKey = "Repeatable";

    // What one entry, or a read, may take: it is made of milliseconds, and waits for a disk at worst.
    private const int EntrySeconds = 15;

    // A batch, a bundle or an activation takes as long as it has work; a stuck one ends by its cluster's activity timeout.
    private const int BulkSeconds = 3600;

    /// <summary>The routes. <c>Gateway:RankTimeoutMs</c> is how long a ranking may take in all, unless its <c>Request-Timeout-Ms</c> asks for more.</summary>
    public static IReadOnlyList<RouteConfig> All(HttpLimits limits, IConfiguration configuration)
    {
        var rank = RankTimeoutMs(configuration);
        return
        [
            Rank(rank, limits.RankBody),
            Repeatable(Route("item-read", "/v1/items/{id}", ["GET"], ApiScope.Rank | ApiScope.Ingest, ApiScope.Ingest, EntrySeconds, limits.Body, ApiClusters.Entity)),
            Repeatable(Route("item", "/v1/items/{id}", ["PUT"], ApiScope.Ingest, ApiScope.Ingest, EntrySeconds, limits.Body, ApiClusters.Model)),
            Repeatable(Route("item-deletion", "/v1/items/{id}", ["DELETE"], ApiScope.Ingest, ApiScope.Ingest, EntrySeconds, limits.Body, ApiClusters.Entity)),
            Repeatable(Route("item-embedding", "/v1/items/{id}/embedding", ["PUT"], ApiScope.Ingest, ApiScope.Ingest, EntrySeconds, limits.Body, ApiClusters.Model)),
            Repeatable(Route("user", "/v1/users/{id}", ["GET", "PUT"], ApiScope.Ingest, ApiScope.Ingest, EntrySeconds, limits.Body, ApiClusters.Entity)),
            Repeatable(Route("user-erasure", "/v1/users/{id}", ["DELETE"], ApiScope.Admin, ApiScope.Admin, EntrySeconds, limits.Body, ApiClusters.Entity)),
            Repeatable(Route("events", "/v1/events", ["POST"], ApiScope.Ingest, ApiScope.Ingest, BulkSeconds, limits.Stream, ApiClusters.Model)),
            Repeatable(Route("item-batch", "/v1/items/batch", ["POST"], ApiScope.Ingest, ApiScope.Ingest, BulkSeconds, limits.Stream, ApiClusters.Model)),
            Repeatable(Route("user-batch", "/v1/users/batch", ["POST"], ApiScope.Ingest, ApiScope.Ingest, BulkSeconds, limits.Stream, ApiClusters.Entity)),
            Repeatable(Route("embeddings", "/v1/embeddings", ["POST"], ApiScope.Ingest, ApiScope.Ingest, BulkSeconds, limits.Stream, ApiClusters.Model)),
            Route("admin", "/v1/{area:regex(^(warm|jobs|models|cluster)$)}/{**rest}", null, ApiScope.Admin, ApiScope.Admin, BulkSeconds, limits.Stream, ApiClusters.Admin),
            Route("openapi", "/openapi/{document}", ["GET"], ApiScopes.Any, ApiScope.Admin, EntrySeconds, limits.Body, ApiClusters.Entity),
        ];
    }

    /// <summary>The longest time that the gateway waits for a ranking.</summary>
    public static TimeSpan LongestRanking(HttpLimits limits, IConfiguration configuration) =>
        TimeSpan.FromMilliseconds(Math.Max(RankTimeoutMs(configuration), limits.RankTimeoutMaxMs + RankTimeoutMiddleware.Slack));

    private static int RankTimeoutMs(IConfiguration configuration)
    {
        // Forty times what a ranking should take; the host's own deadline (1 s) has answered with the fallback long before, unless the host is gone.
        var milliseconds = configuration.GetValue("Gateway:RankTimeoutMs", 2_000);
        return milliseconds >= 1 ? milliseconds : throw new ConfigurationException("Gateway:RankTimeoutMs", "must be at least 1.");
    }

    // Without a timeout of its own: how long a ranking may take is up to its caller, and a route's timeout is one for all.
    private static RouteConfig Rank(int milliseconds, long body)
    {
        var route = Repeatable(Route("rank", "/v1/rank", ["POST"], ApiScope.Rank, ApiScope.Rank, timeout: null, body, ApiClusters.Rank));
        return route with
        {
            Metadata = new Dictionary<string, string>(route.Metadata!) { [RankTimeoutKey] = milliseconds.ToString(CultureInfo.InvariantCulture) },
        };
    }

    // Reads, rankings, and writes that have the same effect however often they arrive: events are told apart by their event_id. Not so a job, of which there would be two.
    private static RouteConfig Repeatable(RouteConfig route) =>
        route with { Metadata = new Dictionary<string, string>(route.Metadata!) { [RepeatableKey] = "true" } };

    private static RouteConfig Route(
        string id, string path, string[]? methods, ApiScope scope, ApiScope kind, int seconds, long body, string cluster) =>
        Route(id, path, methods, scope, kind, TimeSpan.FromSeconds(seconds), body, cluster);

    private static RouteConfig Route(
        string id, string path, string[]? methods, ApiScope scope, ApiScope kind, TimeSpan? timeout, long body, string cluster) => new()
        {
            RouteId = id,
            ClusterId = cluster,
            Match = new RouteMatch { Path = path, Methods = methods },
            Timeout = timeout,
            MaxRequestBodySize = body,
            RateLimiterPolicy = kind.ToString(),
            Metadata = new Dictionary<string, string> { [ScopeKey] = scope.ToString() },
        };
}
