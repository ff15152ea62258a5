using RecBackend.Http.Authentication;
using Yarp.ReverseProxy.Model;

namespace RecBackend.Gateway.Routing;

/// <summary>Gives each proxied endpoint the scope that its route's metadata name. A route without one, of an operator's own making, asks for admin.</summary>
internal static class RouteScope
{
    public static IEndpointConventionBuilder RequireScopeOfRoute(this IEndpointConventionBuilder endpoints)
    {
        endpoints.Add(builder =>
        {
            var route = builder.Metadata.OfType<RouteModel>().FirstOrDefault();
            var name = route?.Config.Metadata?.GetValueOrDefault(ApiRoutes.ScopeKey);
            builder.Metadata.Add(new ScopeRequirement(Enum.TryParse<ApiScope>(name, ignoreCase: true, out var scope) && scope != ApiScope.None ? scope : ApiScope.Admin));
        });
        return endpoints;
    }
}
