using System.Globalization;
using System.Net;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Processes;

/// <summary>The product's programs as a user starts them.</summary>
internal static class Stack
{
    /// <summary>A server on <paramref name="state"/>.</summary>
    public static Task<HostProcess> StartServerAsync(string state, CancellationToken cancellation, bool http2 = false) => HostProcess.StartAsync(
        "server",
        Installation.Server,
        ServerArguments(state),
        cancellation,
        http2: http2);

    /// <summary>Command line of a server on <paramref name="state"/>.</summary>
    public static string[] ServerArguments(string state) => ["--RecBackend:State", state, "--RecBackend:Development", "true"];

    /// <summary>A gateway in front of hosts that it is told of.</summary>
    public static Task<HostProcess> StartGatewayAsync(CancellationToken cancellation, params IEnumerable<IPEndPoint> hosts) => StartGatewayAsync(hosts, http2: false, cancellation);

    /// <summary>A gateway in front of hosts that it is told of, on a second port for HTTP/2 if asked to.</summary>
    public static Task<HostProcess> StartGatewayAsync(IEnumerable<IPEndPoint> hosts, bool http2, CancellationToken cancellation) => HostProcess.StartAsync(
        "gateway",
        Installation.Gateway,
        ["--RecBackend:Development", "true", .. hosts.SelectMany((host, place) => new[] { string.Create(CultureInfo.InvariantCulture, $"--Gateway:Destinations:{place}"), $"http://{host}" })],
        cancellation,
        http2: http2);

    /// <summary>A gateway that follows the cluster of a silo.</summary>
    public static Task<HostProcess> StartFollowerAsync(IPEndPoint silo, CancellationToken cancellation) => HostProcess.StartAsync(
        "gateway",
        Installation.Gateway,
        ["--RecBackend:Development", "true", "--RecBackend:Gateway:Cluster:Seeds:0", $"http://{silo}"],
        cancellation);
}
