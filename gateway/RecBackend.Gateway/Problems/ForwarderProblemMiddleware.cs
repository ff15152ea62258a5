using RecBackend.Http.Problems;
using Yarp.ReverseProxy.Forwarder;

namespace RecBackend.Gateway.Problems;

/// <summary>Gives a name to what YARP answers with a bare status: no host, no answer, no time.</summary>
internal sealed class ForwarderProblemMiddleware(RequestDelegate next)
{
    public async Task InvokeAsync(HttpContext context)
    {
        await next(context);
        if (context.GetForwarderErrorFeature() is { } error && !context.Response.HasStarted && !context.RequestAborted.IsCancellationRequested
            && ProblemOf(error.Error, context) is { } problem)
        {
            await problem.WriteAsync(context);
        }
    }

    private static Problem? ProblemOf(ForwarderError error, HttpContext context)
    {
        if (context.Response.StatusCode == StatusCodes.Status413PayloadTooLarge)
        {
            return new Problem(ProblemCode.BodyTooLarge, "The body is larger than the gateway takes for this call.");
        }

        switch (error)
        {
            case ForwarderError.RequestTimedOut or ForwarderError.RequestCanceled or ForwarderError.RequestBodyCanceled:
                return new Problem(ProblemCode.UpstreamTimeout, "The host did not answer within the time of this call.");
            case ForwarderError.NoAvailableDestinations or ForwarderError.Request or ForwarderError.ResponseHeaders:
                context.Response.Headers.RetryAfter = "1";
                return new Problem(ProblemCode.UpstreamUnavailable, "No host accepted the request, or it broke off before it answered. It is safe to send it again.");
            case ForwarderError.RequestBodyClient:
                return new Problem(ProblemCode.RequestInvalid, "The request's body broke off.");
            default:
                return new Problem(ProblemCode.UpstreamUnavailable, $"The host's answer could not be passed on ({error}).");
        }
    }
}
