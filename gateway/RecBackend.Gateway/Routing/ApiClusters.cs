using System.Net;
using RecBackend.Gateway.Health;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Forwarder;
using Yarp.ReverseProxy.LoadBalancing;

namespace RecBackend.Gateway.Routing;

/// <summary>The hosts, seen twice: rankings give up on a silent host within seconds, bulk work within minutes.</summary>
internal static class ApiClusters
{
    /// <summary>Cluster of rankings.</summary>
    public const string Rank = "rank";

    /// <summary>Cluster of everything else.</summary>
    public const string Bulk = "bulk";

    // Longer than any ranking's own time by this, which so ends it first and with a better word.
    private static readonly TimeSpan BeyondRanking = TimeSpan.FromSeconds(10);

    // An activation with ?wait=true says nothing until it is done.
    private static readonly TimeSpan BulkSilence = TimeSpan.FromMinutes(15);

    /// <summary>Both clusters over <paramref name="destinations"/>; no ranking takes more than <paramref name="longestRanking"/>.</summary>
    public static IReadOnlyList<ClusterConfig> All(IReadOnlyDictionary<string, DestinationConfig> destinations, TimeSpan longestRanking) =>
        [Cluster(Rank, destinations, longestRanking + BeyondRanking), Cluster(Bulk, destinations, BulkSilence)];

    private static ClusterConfig Cluster(string id, IReadOnlyDictionary<string, DestinationConfig> destinations, TimeSpan silence) => new()
    {
        ClusterId = id,
        Destinations = destinations,

        // Of two hosts picked at random the less busy: nearly as good as the least busy of all, and no herd runs to it (Mitzenmacher, 2001).
        LoadBalancingPolicy = LoadBalancingPolicies.PowerOfTwoChoices,
        HealthCheck = DestinationHealth.Checks,
        HttpRequest = new ForwarderRequestConfig
        {
            // Within a data centre, on kept connections: one request a connection at a time beats sharing one among streams, in latency.
            Version = HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            ActivityTimeout = silence,
            AllowResponseBuffering = false,
        },
    };
}
