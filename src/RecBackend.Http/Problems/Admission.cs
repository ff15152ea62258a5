using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using RecBackend.Http.Authentication;
using RecBackend.Http.Health;

namespace RecBackend.Http.Problems;

/// <summary>How many calls of a kind are at work at once. There is no queue: what comes above gets 429 at once, and one kind of call does not take another's places.</summary>
public static class Admission
{
    /// <summary>Registers one policy for each kind of call, under the name of its scope.</summary>
    public static IServiceCollection AddAdmission(this IServiceCollection services, HttpLimits limits) => services.AddRateLimiter(limiter =>
    {
        limiter.AddPolicy(nameof(ApiScope.Rank), Bound(limits.ConcurrentRankings));
        limiter.AddPolicy(nameof(ApiScope.Ingest), Bound(limits.ConcurrentIngests));
        limiter.AddPolicy(nameof(ApiScope.Admin), Bound(limits.ConcurrentAdmins));
        limiter.OnRejected = static (rejected, _) =>
        {
            rejected.HttpContext.Response.Headers.RetryAfter = "1";
            return new(new Problem(ProblemCode.Overloaded, "As many calls of this kind are at work as the host allows (RecBackend:Limits).").WriteAsync(rejected.HttpContext));
        };
    });

    /// <summary>Asks for a scope and takes a place among the calls of a kind.</summary>
    internal static TBuilder Admit<TBuilder>(this TBuilder endpoint, ApiScope scope, ApiScope kind)
        where TBuilder : IEndpointConventionBuilder =>
        endpoint.RequireScope(scope).RequireRateLimiting(kind.ToString()).WithMetadata(new EngineCall());

    private static Func<Microsoft.AspNetCore.Http.HttpContext, RateLimitPartition<string>> Bound(int calls)
    {
        var options = new ConcurrencyLimiterOptions { PermitLimit = calls, QueueLimit = 0 };
        return _ => RateLimitPartition.GetConcurrencyLimiter("", _ => options);
    }
}
