using Microsoft.AspNetCore.Http.Features;
using Yarp.ReverseProxy.Transforms;
using Yarp.ReverseProxy.Transforms.Builder;

namespace RecBackend.Gateway.Routing;

/// <summary>
/// Forwards the path as the caller wrote it. Taking it apart and putting it together again would turn the item <c>a%2Fb</c> into <c>a/b</c>. A route with transforms of its own is left alone.
/// </summary>
internal sealed class ExactPathTransform : ITransformProvider
{
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
            var target = transform.HttpContext.Features.Get<IHttpRequestFeature>()!.RawTarget;
            if (target.StartsWith('/'))
            {
                transform.ProxyRequest.RequestUri = new Uri(transform.DestinationPrefix.TrimEnd('/') + target);
            }

            return default;
        });
    }
}
