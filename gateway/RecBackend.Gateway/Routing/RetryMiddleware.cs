using System.Net.Sockets;
using Microsoft.AspNetCore.Http.Features;
using Yarp.ReverseProxy.Forwarder;

namespace RecBackend.Gateway.Routing;

/// <summary>
/// Sends a request to another host, once, if the first one did not answer it: any call if the connection was not accepted, or not in time, for nothing was sent then; and a call that may be made twice if
/// the host broke off before its answer began, as one does that is killed. The time of the call is not begun anew.
/// </summary>
internal sealed class RetryMiddleware(RequestDelegate next)
{
    /// <summary>
    /// Bytes of a body that are kept to be sent again. A ranking of 5,000 candidates has some 100 KiB; the 640 rankings and writes that are admitted at once keep 640 MiB at worst. A larger
    /// batch is its caller's to repeat.
    /// </summary>
    public const int KeptBody = 1024 * 1024;

    public async Task InvokeAsync(HttpContext context)
    {
        var proxy = context.GetReverseProxyFeature();
        using var body = KeepBody(context, proxy.Route.Config.Metadata?.ContainsKey(ApiRoutes.RepeatableKey) == true);
        await next(context);
        if (proxy.ProxiedDestination is not { } failed || context.Response.HasStarted || context.RequestAborted.IsCancellationRequested
            || !MayRepeat(context.GetForwarderErrorFeature(), body))
        {
            return;
        }

        // Those that are well now: the first attempt may have taken seconds.
        var others = proxy.Route.Cluster?.DestinationsState.AvailableDestinations.Where(destination => destination != failed).ToList();
        if (others is not { Count: > 0 })
        {
            return;
        }

        context.Response.Clear();
        context.Features.Set<IForwarderErrorFeature>(null);
        body?.Rewind();
        proxy.AvailableDestinations = others;
        proxy.ProxiedDestination = null;
        await next(context);
    }

    /// <summary>Lets the body be read twice; null if the call may not be made twice or is too large for that.</summary>
    private static ReplayBody? KeepBody(HttpContext context, bool repeatable)
    {
        var length = context.Request.ContentLength;
        if (!repeatable || length > KeptBody)
        {
            return null;
        }

        var hasBody = context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody ?? true;
        var body = new ReplayBody(hasBody ? context.Request.Body : Stream.Null, (int)(length ?? 0), KeptBody);
        context.Request.Body = body;
        return body;
    }

    private static bool MayRepeat(IForwarderErrorFeature? error, ReplayBody? body) =>
        IsRefusal(error)
        || (body is { IsWhole: true } && error?.Error is ForwarderError.Request or ForwarderError.RequestBodyDestination or ForwarderError.ResponseBodyDestination);

    private static bool IsRefusal(IForwarderErrorFeature? error) => error switch
    {
        { Error: ForwarderError.Request, Exception: HttpRequestException { HttpRequestError: HttpRequestError.ConnectionError, InnerException: SocketException } } => true,

        // ConnectTimeout comes as a cancellation with this inside. Silence after the connection, and the end of the call's time, come without it.
        { Error: ForwarderError.RequestTimedOut, Exception: OperationCanceledException { InnerException: TimeoutException } } => true,
        _ => false,
    };
}
