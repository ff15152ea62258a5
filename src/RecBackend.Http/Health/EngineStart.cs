using Microsoft.AspNetCore.Builder;
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

/// <summary>Endpoint metadata: the call needs a model or the catalogue.</summary>
internal sealed record ScoringCall;

/// <summary>
/// Answers calls that need the engine with 503 while it starts: a ranking made before the catalogue is filled would find most items unknown. On a host that does not score, those that need a model
/// get 503 for good: without one, a ranking would be empty and an item stored without its representation.
/// </summary>
internal sealed class EngineStartMiddleware(RequestDelegate next, EngineStart start, RecBackendHttpOptions options)
{
    public Task InvokeAsync(HttpContext context)
    {
        var call = context.GetEndpoint()?.Metadata;
        if (!start.IsOver && call?.GetMetadata<EngineCall>() is not null)
        {
            return RefuseAsync(context, "The host is starting: it reads items and fills the catalogue. /healthz/ready tells when it is done.");
        }

        if (!options.Scores && call?.GetMetadata<ScoringCall>() is not null)
        {
            return RefuseAsync(context, "The host holds users and items and has no model: hosts of the role scoring take this call. GET /v1/cluster lists them.");
        }

        return next(context);
    }

    private static Task RefuseAsync(HttpContext context, string why)
    {
        context.Response.Headers.RetryAfter = "1";
        return new Problem(ProblemCode.NotReady, why).WriteAsync(context);
    }
}

/// <summary>Declares what an endpoint needs of its host.</summary>
internal static class ScoringCallExtensions
{
    /// <summary>Needs a model or the catalogue.</summary>
    public static TBuilder NeedsModel<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder =>
        endpoint.WithMetadata(new ScoringCall());
}
