using System.Net;
using RecBackend.Bench.DataSets;

namespace RecBackend.Bench.Processes;

/// <summary>The product's programs as a user starts them.</summary>
internal static class Stack
{
    /// <summary>A server on <paramref name="state"/>.</summary>
    public static Task<ChildProcess> StartServerAsync(string state, CancellationToken cancellation) => ChildProcess.StartAsync(
        "server",
        SampleOptions.Program("src/RecBackend.Server"),
        ["--RecBackend:State", state, "--RecBackend:Development", "true"],
        cancellation);

    /// <summary>A gateway in front of <paramref name="server"/>.</summary>
    public static Task<ChildProcess> StartGatewayAsync(IPEndPoint server, CancellationToken cancellation) => ChildProcess.StartAsync(
        "gateway",
        SampleOptions.Program("gateway/RecBackend.Gateway"),
        ["--Gateway:Destinations:0", $"http://{server}", "--RecBackend:Development", "true"],
        cancellation);
}
