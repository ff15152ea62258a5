using RecBackend.Http.Wire;
using Yarp.ReverseProxy.Transforms;
using Yarp.ReverseProxy.Transforms.Builder;

namespace RecBackend.Gateway.Routing;

/// <summary>
/// Forwards the path as the caller wrote it. Taking it apart and putting it together again would turn the item <c>a%2Fb</c> into <c>a/b</c>. A route with transforms of its own is left alone.
/// </summary>
internal sealed class ExactPathTransform : ITransformProvider
{
    private static readonly UriCreationOptions AsWritten = new() { DangerousDisablePathAndQueryCanonicalization = true };

    public void ValidateRoute(TransformRouteValidationContext context)
    {
    }

    public void ValidateCluster(TransformClusterValidationContext context)
    {
    }

    public void Apply(TransformBuilderContext context)
    {
        if (context.Route.Transforms is { Count: > 0 })
        {
            return;
        }

        context.AddRequestTransform(static transform =>
        {
            // What was checked here must be what arrives there: the URI is not to tidy up the path.
            transform.ProxyRequest.RequestUri = new Uri(transform.DestinationPrefix.TrimEnd('/') + RawTarget.PathAndQuery(transform.HttpContext), AsWritten);
            return default;
        });
    }
}
