using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Authentication;

/// <summary>Lets a request through if its key has the scope that the endpoint asks for. Runs after routing. The server and the gateway use the same one.</summary>
internal sealed class ApiKeyMiddleware(RequestDelegate next, ApiKeys keys, OpenAccess access)
{
    private const string Bearer = "Bearer ";

    // An endpoint that forgot to say gets the strictest answer.
    private static readonly ScopeRequirement Strictest = new(ApiScope.Admin);

    public Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint() is not { } endpoint)
        {
            return next(context);
        }

        var required = (endpoint.Metadata.GetMetadata<ScopeRequirement>() ?? Strictest).Scope;
        var ring = keys.Current;
        if (required == ApiScope.None || access.IsOpenWith(ring))
        {
            return next(context);
        }

        return Refusal(context, ring, required) is { } problem ? problem.WriteAsync(context) : next(context);
    }

    private static Problem? Refusal(HttpContext context, ApiKeyRing keys, ApiScope required)
    {
        if (keys.IsEmpty)
        {
            return new Problem(ProblemCode.KeysNotConfigured, "No key is configured, so everything but health is refused. Make one with `rec keys create --scope rank` and add what it prints to the configuration; " +
                "or, on a developer's machine, listen on loopback only and set RecBackend:Development to true.");
        }

        // A header with several values joins them with a comma, and then matches no key.
        var header = context.Request.Headers.Authorization.ToString();
        if (!header.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase))
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            return new Problem(ProblemCode.KeyMissing, "Send the key as `Authorization: Bearer <key>`.");
        }

        if (!keys.TryFind(header[Bearer.Length..].Trim(), out var granted))
        {
            context.Response.Headers.WWWAuthenticate = "Bearer error=\"invalid_token\"";
            return new Problem(ProblemCode.KeyInvalid, "The key is not one that this host knows.");
        }

        return granted.Allow(required)
            ? null
            : new Problem(ProblemCode.ScopeMissing, $"The key lacks the scope for this call: {required.ToString().ToLowerInvariant()}.");
    }
}

/// <summary>Adds the key check to a host.</summary>
public static class ApiKeyExtensions
{
    /// <summary>Registers the keys of <c>RecBackend:Keys</c>, those of now and those of later changes.</summary>
    /// <exception cref="Configuration.ConfigurationException">A key's entry is not usable.</exception>
    public static IServiceCollection AddApiKeys(this IServiceCollection services, IConfiguration configuration, ApiKeyPolicy policy)
    {
        var first = ApiKeys.Read(configuration);
        return services
            .AddSingleton(provider => new ApiKeys(first, configuration, provider.GetRequiredService<ILogger<ApiKeys>>()))
            .AddSingleton(policy)
            .AddSingleton<OpenAccess>();
    }

    /// <summary>Checks keys from here on. To be placed after routing.</summary>
    public static IApplicationBuilder UseApiKeys(this IApplicationBuilder app) => app.UseMiddleware<ApiKeyMiddleware>();
}
