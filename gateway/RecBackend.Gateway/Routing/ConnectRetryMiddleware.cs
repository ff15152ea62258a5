using System.Net.Sockets;
using Yarp.ReverseProxy.Forwarder;

namespace RecBackend.Gateway.Routing;

/// <summary>
/// Sends a request to another host if the first one does not accept the connection, or not in time. Nothing was sent then, so it is safe for every call; any later failure is the caller's to repeat,
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

    private static bool IsRefusal(IForwarderErrorFeature? error) => error switch
    {
        { Error: ForwarderError.Request, Exception: HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError, InnerException: SocketException } } => true,

        // ConnectTimeout comes as a cancellation with this inside. Silence after the connection, and the end of the call's time, come without it.
        { Error: ForwarderError.RequestTimedOut, Exception: OperationCanceledException { InnerException: TimeoutException } } => true,
        _ => false,
    };
}
