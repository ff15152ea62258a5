using System.Net;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace RecBackend.Http.Authentication;

/// <summary>The one case in which no key is asked for: none is configured, the host is in development mode, and every address it listens on is loopback.</summary>
internal sealed class OpenAccess(ApiKeyPolicy policy, IServer server)
{
    private readonly Lazy<bool> _mayBeOpen = new(() => policy.Development && ListensOnLoopbackOnly(server));

    /// <summary>Whether it is that case with <paramref name="keys"/>. The addresses are known once the first request is in, and do not change after.</summary>
    public bool IsOpenWith(ApiKeyRing keys) => keys.IsEmpty && _mayBeOpen.Value;

    private static bool ListensOnLoopbackOnly(IServer server)
    {
        var addresses = server.Features.Get<IServerAddressesFeature>()?.Addresses;
        return addresses is { Count: > 0 } && addresses.All(IsLoopback);
    }

    /// <summary>Whether <paramref name="address"/>, as Kestrel reports it, can be reached from this machine only.</summary>
    internal static bool IsLoopback(string address)
    {
        if (!Uri.TryCreate(address, UriKind.Absolute, out var uri))
        {
            return false;
        }

        return uri.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            || (IPAddress.TryParse(uri.Host.Trim('[', ']'), out var ip) && IPAddress.IsLoopback(ip));
    }
}

/// <summary>Whether a host may go without keys when it is bound to loopback.</summary>
/// <param name="Development">Development mode.</param>
public sealed record ApiKeyPolicy(bool Development);
