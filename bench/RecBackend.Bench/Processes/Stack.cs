using System.Net;
using RecBackend.Bench.DataSets;

namespace RecBackend.Bench.Processes;

/// <summary>The product's programs as a user starts them.</summary>
internal static class Stack
{
    /// <summary>A server on <paramref name="state"/>.</summary>
    public static Task<HostProcess> StartServerAsync(string state, CancellationToken cancellation) => HostProcess.StartAsync(
        "server",
        SampleOptions.Program("src/RecBackend.Server"),
        ["--RecBackend:State", state, "--RecBackend:Development", "true"],
        cancellation);

    /// <summary>A gateway in front of <paramref name="server"/>.</summary>
    public static Task<HostProcess> StartGatewayAsync(IPEndPoint server, CancellationToken cancellation) => HostProcess.StartAsync(
        "gateway",
        SampleOptions.Program("gateway/RecBackend.Gateway"),
        ["--Gateway:Destinations:0", $"http://{server}", "--RecBackend:Development", "true"],
        cancellation);
}
