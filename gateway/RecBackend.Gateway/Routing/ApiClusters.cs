using System.Net;
using RecBackend.Gateway.Health;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Forwarder;
using Yarp.ReverseProxy.LoadBalancing;

namespace RecBackend.Gateway.Routing;

/// <summary>
/// The hosts, seen by what is asked of them. Rankings give up on a silent host within seconds, everything else within minutes. Whatever needs the model goes to hosts that hold one: besides rankings that
/// is content, which is encoded as it is stored, vectors, whose shape is checked, events, whose actions the model names, and models themselves. What is left goes to any host, for each reaches all users and
/// items.
/// </summary>
internal static class ApiClusters
{
    /// <summary>Cluster of rankings.</summary>
    public const string Rank = "rank";

    /// <summary>Cluster of writes that the model has a say in.</summary>
    public const string Model = "model";

    /// <summary>Cluster of models and jobs.</summary>
    public const string Admin = "admin";

    /// <summary>Cluster of everything else.</summary>
    public const string Entity = "entity";

    // Longer than any ranking's own time by this, which so ends it first and with a better word.
    private static readonly TimeSpan BeyondRanking = TimeSpan.FromSeconds(10);

    // An activation with ?wait=true says nothing until it is done.
    private static readonly TimeSpan BulkSilence = TimeSpan.FromMinutes(15);

    /// <summary>The clusters over <paramref name="all"/> hosts and the <paramref name="scoring"/> ones; no ranking takes more than <paramref name="longestRanking"/>.</summary>
    public static IReadOnlyList<ClusterConfig> All(
        IReadOnlyDictionary<string, DestinationConfig> all, IReadOnlyDictionary<string, DestinationConfig> scoring, TimeSpan longestRanking) =>
        [
            // Of two hosts picked at random the less busy: nearly as good as the least busy of all, and no herd runs to it (Mitzenmacher, 2001).
            Cluster(Rank, scoring, LoadBalancingPolicies.PowerOfTwoChoices, longestRanking + BeyondRanking),
            Cluster(Model, scoring, LoadBalancingPolicies.PowerOfTwoChoices, BulkSilence),
            Cluster(Entity, all, LoadBalancingPolicies.PowerOfTwoChoices, BulkSilence),

            // Always the same one: a job is known to the host that runs it.
            Cluster(Admin, scoring, LoadBalancingPolicies.FirstAlphabetical, BulkSilence),
        ];

    private static ClusterConfig Cluster(string id, IReadOnlyDictionary<string, DestinationConfig> destinations, string balancing, TimeSpan silence) => new()
    {
        ClusterId = id,
        Destinations = destinations,
        LoadBalancingPolicy = balancing,
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
