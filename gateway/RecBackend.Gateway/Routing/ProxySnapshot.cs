using Microsoft.Extensions.Primitives;
using Yarp.ReverseProxy.Configuration;

namespace RecBackend.Gateway.Routing;

/// <summary>Routes and clusters as they are until they are replaced.</summary>
internal sealed class ProxySnapshot(IReadOnlyList<RouteConfig> routes, IReadOnlyList<ClusterConfig> clusters) : IProxyConfig
{
    private readonly ConfigurationReloadToken _replaced = new();

    public IReadOnlyList<RouteConfig> Routes => routes;

    public IReadOnlyList<ClusterConfig> Clusters => clusters;

    public IChangeToken ChangeToken => _replaced;

    /// <summary>Says that its provider has another one.</summary>
    public void Replace() => _replaced.OnReload();
}
