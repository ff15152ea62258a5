using System.Net;

namespace RecBackend.Bench.Load;

/// <summary>How the generator asks for rankings.</summary>
internal static class Exchange
{
    /// <summary>HTTP/1.1 goes over bare sockets, since what the generator takes of a machine that it shares is in the figures; HTTP/2 by .NET's own client.</summary>
    /// <param name="address">Base URL, its host an IP address. HTTP/2 is spoken without an upgrade, so it must be an endpoint for HTTP/2 alone.</param>
    /// <param name="version">1.1 or 2.0.</param>
    /// <param name="bodies">The requests; arrivals take them in turn.</param>
    /// <param name="deadline">Sent as <c>Request-Timeout-Ms</c>; null leaves it to the server.</param>
    public static IExchange Create(Uri address, Version version, ReadOnlyMemory<byte>[] bodies, TimeSpan? deadline) =>
        version == HttpVersion.Version11 ? new SocketExchange(address, bodies, deadline) : new ClientExchange(address, bodies, deadline);
}
