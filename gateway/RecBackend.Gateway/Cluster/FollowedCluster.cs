using RecBackend.Gateway.Routing;
using RecBackend.Http;
using Yarp.ReverseProxy.Configuration;

namespace RecBackend.Gateway.Cluster;

/// <summary>
/// Routes and clusters for the silos as they were last heard of. To YARP a changed set is a changed configuration: requests under way keep the silo that they have, new ones see the new set, and
/// connections and verdicts on silos that stay are kept.
/// </summary>
internal sealed class FollowedCluster(IConfiguration configuration, HttpLimits limits) : IProxyConfigProvider
{
    private volatile IReadOnlyList<Silo> _silos = [];
    private volatile ProxySnapshot _current = Snapshot(configuration, limits, []);

    /// <summary>The silos that are known; none before one has answered.</summary>
    public IReadOnlyList<Silo> Silos => _silos;

    public IProxyConfig GetConfig() => _current;

    /// <summary>Takes the silos for all that there are. For one caller at a time.</summary>
    /// <returns>Whether that changed anything.</returns>
    public bool Follow(IReadOnlyList<Silo> silos)
    {
        if (silos.SequenceEqual(_silos))
        {
            return false;
        }

        _silos = silos;
        var before = _current;
        _current = Snapshot(configuration, limits, silos);
        before.Replace();
        return true;
    }

    private static ProxySnapshot Snapshot(IConfiguration configuration, HttpLimits limits, IReadOnlyList<Silo> silos)
    {
        var (all, scoring) = (Destinations(silos), Destinations([.. silos.Where(silo => silo.Scores)]));
        return new ProxySnapshot(ApiRoutes.All(limits, configuration), ApiClusters.All(all, scoring, ApiRoutes.LongestRanking(limits, configuration)));
    }

    private static Dictionary<string, DestinationConfig> Destinations(IReadOnlyList<Silo> silos) =>
        Wanted(silos).ToDictionary(silo => silo.Name, silo => new DestinationConfig { Address = silo.Address.ToString() }, StringComparer.OrdinalIgnoreCase);

    /// <summary>Those that are ready and stay. Without any, those that stay: none has a bundle before the first one has reached it. A draining one is asked only if there is no other at all.</summary>
    private static IEnumerable<Silo> Wanted(IReadOnlyList<Silo> silos)
    {
        var staying = silos.Where(silo => !silo.Draining).ToList();
        var ready = staying.FindAll(silo => silo.Ready);
        return ready.Count > 0 ? ready : staying.Count > 0 ? staying : silos;
    }
}
