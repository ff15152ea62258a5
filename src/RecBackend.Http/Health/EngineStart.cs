using Microsoft.AspNetCore.Http;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Health;

/// <summary>Whether the engine is there to be called. A host listens before that, so that its health can be asked for.</summary>
public sealed class EngineStart
{
    private volatile bool _over;

    /// <summary>Whether start-up is over.</summary>
    public bool IsOver => _over;

    /// <summary>Lets calls through.</summary>
    public void Complete() => _over = true;
}

/// <summary>Endpoint metadata: the call needs the engine.</summary>
internal sealed record EngineCall;

/// <summary>Answers calls that need the engine with 503 while it starts: a ranking made before the catalogue is filled would find most items unknown.</summary>
internal sealed class EngineStartMiddleware(RequestDelegate next, EngineStart start)
{
    public Task InvokeAsync(HttpContext context)
    {
        if (start.IsOver || context.GetEndpoint()?.Metadata.GetMetadata<EngineCall>() is null)
        {
            return next(context);
        }

        context.Response.Headers.RetryAfter = "1";
        return new Problem(ProblemCode.NotReady, "The host is starting: it reads items and fills the catalogue. /healthz/ready tells when it is done.").WriteAsync(context);
    }
}
