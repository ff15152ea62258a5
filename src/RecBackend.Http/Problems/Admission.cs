using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using RecBackend.Http.Authentication;
using RecBackend.Http.Health;

namespace RecBackend.Http.Problems;

/// <summary>How many calls of a kind are at work at once. There is no queue: what comes above gets 429 at once, and one kind of call does not take another's places.</summary>
public static class Admission
{
    /// <summary>What is said above the bound.</summary>
    internal static readonly Problem TooMany = new(ProblemCode.Overloaded, "As many calls of this kind are at work as the host allows (RecBackend:Limits).");

    /// <summary>Registers one policy for each kind of call, under the name of its scope.</summary>
    public static IServiceCollection AddAdmission(this IServiceCollection services, HttpLimits limits) => services.AddRateLimiter(limiter =>
    {
        limiter.AddPolicy(nameof(ApiScope.Rank), Bound(limits.ConcurrentRankings));
        limiter.AddPolicy(nameof(ApiScope.Ingest), Bound(limits.ConcurrentIngests));
        limiter.AddPolicy(nameof(ApiScope.Admin), Bound(limits.ConcurrentAdmins));
        limiter.OnRejected = static (rejected, _) => new(RefuseAsync(rejected.HttpContext, TooMany));
    });

    /// <summary>Answers 429 with a problem, and when to come back.</summary>
    internal static Task RefuseAsync(HttpContext context, Problem problem)
    {
        context.Response.Headers.RetryAfter = "1";
        return problem.WriteAsync(context);
    }

    /// <summary>Asks for a scope and takes a place among the calls of a kind.</summary>
    internal static TBuilder Admit<TBuilder>(this TBuilder endpoint, ApiScope scope, ApiScope kind)
        where TBuilder : IEndpointConventionBuilder =>
        endpoint.RequireScope(scope).RequireRateLimiting(kind.ToString()).WithMetadata(new EngineCall());

    /// <summary>Asks for the scope of rankings. Their places the endpoint counts itself: the middleware allocates for each call, and this is the one that a host answers by the thousand.</summary>
    internal static TBuilder AdmitRankings<TBuilder>(this TBuilder endpoint)
        where TBuilder : IEndpointConventionBuilder =>
        endpoint.RequireScope(ApiScope.Rank).WithMetadata(new EngineCall());

    private static Func<HttpContext, RateLimitPartition<string>> Bound(int calls)
    {
        var options = new ConcurrencyLimiterOptions { PermitLimit = calls, QueueLimit = 0 };
        return _ => RateLimitPartition.GetConcurrencyLimiter("", _ => options);
    }
}
