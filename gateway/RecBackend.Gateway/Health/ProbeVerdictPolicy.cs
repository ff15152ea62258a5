using System.Runtime.CompilerServices;
using Yarp.ReverseProxy.Health;
using Yarp.ReverseProxy.Model;

namespace RecBackend.Gateway.Health;

/// <summary>
/// A host that says that it is not ready is out at once: it knows, and if it drains it serves for a few seconds more. A probe without an answer may be chance; two in a row are a host that is gone.
/// </summary>
internal sealed class ProbeVerdictPolicy(IDestinationHealthUpdater health) : IActiveHealthCheckPolicy
{
    /// <summary>Name of the policy in a cluster's configuration.</summary>
    public const string PolicyName = "ProbeVerdict";

    private const int LostInARow = 2;

    private readonly ConditionalWeakTable<DestinationState, StrongBox<int>> _lost = [];

    public string Name => PolicyName;

    public void ProbingCompleted(ClusterState cluster, IReadOnlyList<DestinationProbingResult> probingResults) =>
        health.SetActive(cluster, [.. probingResults.Select(probe => new NewActiveDestinationHealth(probe.Destination, Verdict(probe)))]);

    private Yarp.ReverseProxy.Model.DestinationHealth Verdict(DestinationProbingResult probe)
    {
        var lost = _lost.GetOrCreateValue(probe.Destination);
        if (probe.Response is { } answer)
        {
            lost.Value = 0;
            return answer.IsSuccessStatusCode ? Yarp.ReverseProxy.Model.DestinationHealth.Healthy : Yarp.ReverseProxy.Model.DestinationHealth.Unhealthy;
        }

        return ++lost.Value < LostInARow ? probe.Destination.Health.Active : Yarp.ReverseProxy.Model.DestinationHealth.Unhealthy;
    }
}
