using RecBackend.Gateway.Routing;
using Yarp.ReverseProxy.Forwarder;

namespace RecBackend.Gateway.Health;

/// <summary>
/// Makes a ranking that ran out of time a failure of its host. To YARP the end of the time looks like a caller who has gone away, for which its passive health check blames nobody:
/// a host whose probes succeed and whose rankings hang would stay in for ever. So this runs inside of that check.
/// </summary>
internal sealed class SilentHostMiddleware(RequestDelegate next)
{
    public async Task InvokeAsync(HttpContext context)
    {
        await next(context);

        // The host has the whole request and says nothing. Where the body broke off, the caller may have been the slow one.
        if (context.GetForwarderErrorFeature() is { Error: ForwarderError.RequestCanceled } error && context.Features.Get<RankTime>() is { IsOver: true } time)
        {
            context.RequestAborted = time.Caller;
            context.Features.Set<IForwarderErrorFeature>(new TimedOut(error.Exception));
        }
    }

    private sealed record TimedOut(Exception? Exception) : IForwarderErrorFeature
    {
        public ForwarderError Error => ForwarderError.RequestTimedOut;
    }
}
