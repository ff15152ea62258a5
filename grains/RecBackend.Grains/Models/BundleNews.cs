using Microsoft.Extensions.Logging;

namespace RecBackend.Grains.Models;

/// <summary>Tells the other scoring silos of a bundle that was stored.</summary>
public sealed class BundleNews
{
    private readonly ScoringSilos _silos;
    private readonly ModelReplicas _replicas;
    private readonly ILogger _log;

    internal BundleNews(ScoringSilos silos, ModelReplicas replicas, ILogger<BundleNews> log) => (_silos, _replicas, _log) = (silos, replicas, log);

    /// <summary>Has them fetch it. One that cannot does it when the bundle is activated, or says then why not.</summary>
    public Task SpreadAsync(string version) => Task.WhenAll(_silos.Others.Select(async silo =>
    {
        try
        {
            if (await _replicas[silo.SiloAddress].FetchAsync(version) is { } refusal)
            {
                _log.LogWarning("{Silo} could not fetch the bundle {Version}. {Code}: {Reason}", silo.Name, version, refusal.Code, refusal.Detail);
            }
        }
        catch (Exception error) when (error is OrleansException or TimeoutException)
        {
            _log.LogWarning("{Silo} could not be told of the bundle {Version}: {Reason}", silo.Name, version, error.Message);
        }
    }));
}
