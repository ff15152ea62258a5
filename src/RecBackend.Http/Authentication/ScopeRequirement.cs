using Microsoft.AspNetCore.Builder;

namespace RecBackend.Http.Authentication;

/// <summary>Endpoint metadata: the scopes of which a caller's key needs one. <see cref="ApiScope.None"/>: open to everybody.</summary>
/// <param name="Scope">Any one of them is enough.</param>
public sealed record ScopeRequirement(ApiScope Scope);

/// <summary>Declares what an endpoint asks of a caller. One that declares nothing asks for <see cref="ApiScope.Admin"/>.</summary>
public static class ScopeRequirementExtensions
{
    /// <summary>Asks for a key that has one of <paramref name="scope"/>.</summary>
    public static TBuilder RequireScope<TBuilder>(this TBuilder endpoint, ApiScope scope)
        where TBuilder : IEndpointConventionBuilder =>
        endpoint.WithMetadata(new ScopeRequirement(scope));

    /// <summary>Opens the endpoint to everybody.</summary>
    public static TBuilder AllowEverybody<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder =>
        endpoint.WithMetadata(new ScopeRequirement(ApiScope.None));
}
