using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Logging;
using RecBackend.Core;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Http.Metrics;

namespace RecBackend.Http.Problems;

/// <summary>Turns what goes wrong into problem details, and counts what was answered.</summary>
internal sealed class ProblemMiddleware(RequestDelegate next, HttpMetrics metrics, ILogger<ProblemMiddleware> log)
{
    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
            await NameWhatRoutingLeftAsync(context);
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            // Nobody is left to answer; the status is for the counters alone.
            context.Response.StatusCode = StatusCodes.Status499ClientClosedRequest;
        }
        catch (Exception e)
        {
            await ProblemOf(e, context).WriteAsync(context);
        }

        // A route that nobody has would be a new series for every typo.
        var route = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "none";
        metrics.Answered(route, context.Request.Method, context.Response.StatusCode);
    }

    private static Task NameWhatRoutingLeftAsync(HttpContext context)
    {
        if (context.Response.HasStarted || context.Response.ContentLength is not null)
        {
            return Task.CompletedTask;
        }

        return context.Response.StatusCode switch
        {
            StatusCodes.Status404NotFound =>
                new Problem(ProblemCode.RouteUnknown, "The calls of this host are listed at /openapi/v1.json.", context.Request.Path).WriteAsync(context),
            StatusCodes.Status405MethodNotAllowed =>
                new Problem(ProblemCode.MethodNotAllowed, $"Its methods are {context.Response.Headers.Allow}.", context.Request.Path).WriteAsync(context),
            _ => Task.CompletedTask,
        };
    }

    private Problem ProblemOf(Exception e, HttpContext context)
    {
        switch (e)
        {
            case ProblemException problem:
                return problem.Problem;
            case BundleRefusedException refused:
                return new Problem(ProblemCode.Of(refused.Code), refused.Message);
            case OperationRefusedException refused:
                return new Problem(ProblemCode.Of(refused.Code), refused.Message);
            case StorageException storage:
                log.LogError(storage, "The store failed: {Code}", storage.Code);
                context.Response.Headers.RetryAfter = "1";
                return new Problem(ProblemCode.Of(storage.Code), storage.Message);
            case ScoringRejectedException:
                context.Response.Headers.RetryAfter = "1";
                return new Problem(ProblemCode.Overloaded, "No session of the model came free in time.");
            case BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } large:
                return new Problem(ProblemCode.BodyTooLarge, large.Message);
            case BadHttpRequestException bad:
                return new Problem(ProblemCode.RequestInvalid, bad.Message);
            default:
                var trace = TraceOf(context);
                log.LogError(e, "{Method} {Path} failed, trace {Trace}", context.Request.Method, context.Request.Path, trace);
                return new Problem(ProblemCode.Internal, $"It is logged under trace {trace}.");
        }
    }

    /// <summary>The trace that the call belongs to, the caller's or the gateway's too; without one, what this host calls the request.</summary>
    private static string TraceOf(HttpContext context)
    {
        if (Activity.Current is { } activity)
        {
            return activity.TraceId.ToString();
        }

        return ActivityContext.TryParse(context.Request.Headers.TraceParent, null, out var parent) ? parent.TraceId.ToString() : context.TraceIdentifier;
    }
}

/// <summary>Adds problem details to a host.</summary>
public static class ProblemExtensions
{
    /// <summary>From here on, whatever goes wrong is answered with problem details, and every answer is counted.</summary>
    public static IApplicationBuilder UseProblems(this IApplicationBuilder app) => app.UseMiddleware<ProblemMiddleware>();
}
