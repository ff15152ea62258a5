using System.Net.Sockets;
using Yarp.ReverseProxy.Forwarder;

namespace RecBackend.Gateway.Routing;

/// <summary>
/// Sends a request to another host if the first one does not accept the connection. Nothing was sent then, so it is safe for every call; any later failure is the caller's to repeat,
/// who knows that events, items and rankings may be sent twice.
/// </summary>
internal sealed class ConnectRetryMiddleware(RequestDelegate next)
{
    public async Task InvokeAsync(HttpContext context)
    {
        var proxy = context.GetReverseProxyFeature();
        var all = proxy.AvailableDestinations;
        await next(context);
        if (all.Count < 2 || context.Response.HasStarted || !IsRefusal(context.GetForwarderErrorFeature()) || proxy.ProxiedDestination is not { } refused)
        {
            return;
        }

        context.Response.Clear();
        context.Features.Set<IForwarderErrorFeature>(null);
        proxy.AvailableDestinations = [.. all.Where(destination => destination != refused)];
        proxy.ProxiedDestination = null;
        await next(context);
    }

    private static bool IsRefusal(IForwarderErrorFeature? error) =>
        error is { Error: ForwarderError.Request, Exception: HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError, InnerException: SocketException } };
}
