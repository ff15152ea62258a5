using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Health;

namespace RecBackend.Gateway.Health;

/// <summary>When a host is taken out and let in again, for a service whose answers take some 50 ms at worst.</summary>
internal static class DestinationHealth
{
    /// <summary>Both kinds of check.</summary>
    public static HealthCheckConfig Checks { get; } = new()
    {
        Active = new ActiveHealthCheckConfig
        {
            Enabled = true,
            Policy = ProbeVerdictPolicy.PolicyName,
            Path = "/healthz/ready",

            // With two lost probes in a row, a host that hangs is out after 2 to 3 s; one that says that it drains is out after 1 s, and one that restarted is in. A probe costs a host microseconds.
            Interval = TimeSpan.FromSeconds(1),

            // Ten times what the slowest answer should take: a collection pause is no failure, a hung process is.
            Timeout = TimeSpan.FromMilliseconds(500),
        },
        Passive = new PassiveHealthCheckConfig
        {
            Enabled = true,
            Policy = HealthCheckConstants.PassivePolicy.TransportFailureRate,

            // A host that died is probed each second anyway; this is how long it is spared requests before it is tried again.
            ReactivationPeriod = TimeSpan.FromSeconds(2),
        },

        // If no host is well, all are tried: a host without a bundle is not ready, and a bundle must still reach it. A wrong verdict must not take the service down.
        AvailableDestinationsPolicy = HealthCheckConstants.AvailableDestinations.HealthyOrPanic,
    };

    /// <summary>Out after half of at least five requests within two seconds broke off: at a hundred rankings a second that is 50 ms of them.</summary>
    public static void Configure(TransportFailureRateHealthPolicyOptions options)
    {
        options.DetectionWindowSize = TimeSpan.FromSeconds(2);
        options.MinimalTotalCountThreshold = 5;
        options.DefaultFailureRateLimit = 0.5;
    }
}
