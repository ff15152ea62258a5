using Microsoft.Extensions.Primitives;
using RecBackend.Http;
using RecBackend.Http.Configuration;
using Yarp.ReverseProxy.Configuration;

namespace RecBackend.Gateway.Routing;

/// <summary>
/// Routes and clusters for the hosts of <c>Gateway:Destinations</c>, read again when the configuration changes. Requests under way keep the configuration that they began with. A change that
/// makes no sense is logged by YARP's reload and leaves the one before it in force.
/// </summary>
internal sealed class DestinationsConfig : IProxyConfigProvider, IDisposable
{
    private readonly IConfiguration _configuration;
    private readonly HttpLimits _limits;
    private readonly IDisposable _changes;
    private volatile ProxySnapshot _current;

    /// <summary>Reads the destinations.</summary>
    /// <exception cref="ConfigurationException">There are none, or one is no URL.</exception>
    public DestinationsConfig(IConfiguration configuration, HttpLimits limits)
    {
        (_configuration, _limits) = (configuration, limits);
        _current = Read();
        _changes = ChangeToken.OnChange(configuration.GetReloadToken, Reload);
    }

    public IProxyConfig GetConfig() => _current;

    public void Dispose() => _changes.Dispose();

    private void Reload()
    {
        ProxySnapshot next;
        try
        {
            next = Read();
        }
        catch (ConfigurationException e)
        {
            // A file caught half-written, or a typo: the hosts that are known go on serving.
            Console.Error.WriteLine($"recbackend-gateway: the change is not taken. {e.Message}");
            return;
        }

        var before = Interlocked.Exchange(ref _current, next);
        before.Replace();
    }

    private ProxySnapshot Read()
    {
        var destinations = new Dictionary<string, DestinationConfig>(StringComparer.OrdinalIgnoreCase);
        foreach (var entry in _configuration.GetSection("Gateway:Destinations").GetChildren())
        {
            if (!Uri.TryCreate(entry.Value, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
            {
                throw new ConfigurationException(entry.Path, $"is '{entry.Value}', which is not the URL of a host.");
            }

            destinations[entry.Key] = new DestinationConfig { Address = address.ToString() };
        }

        return destinations.Count > 0
            ? new ProxySnapshot(ApiRoutes.All(_limits, _configuration), ApiClusters.All(destinations, destinations, ApiRoutes.LongestRanking(_limits, _configuration)))
            : throw new ConfigurationException("Gateway:Destinations", "is empty; Gateway:Destinations:0 is the URL of a host, or RecBackend:Gateway:Cluster:Seeds:0 that of a silo.");
    }
}
