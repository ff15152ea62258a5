using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Http.Jobs;
using RecBackend.Http.Problems;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Models;

/// <summary><c>/v1/models</c>.</summary>
internal sealed class ModelsEndpoint(IBundleStore bundles, ModelDirectory models, IModelSwitch change, JobBoard jobs)
{
    private static readonly TimeSpan PollEvery = TimeSpan.FromMilliseconds(20);

    public Task ListAsync(HttpContext context)
    {
        var status = models.Status;
        var reply = new ModelListReply
        {
            Active = status.Active,
            Previous = status.Previous,
            Preparing = status.Preparing,
            Models = [.. bundles.List().Select(ModelReply.Of)],
        };
        return JsonBody.WriteAsync(context, reply, WireJson.Default.ModelListReply);
    }

    public async Task AddAsync(HttpContext context)
    {
        if (context.Request.HasFormContentType && context.Request.ContentType!.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase))
        {
            throw new ProblemException(ProblemCode.MediaTypeUnsupported, "Send the zip itself as the body, with the content type application/zip; not as a form.");
        }

        var bundle = await StoreAsync(context.Request.Body, context.RequestAborted);
        await JsonBody.WriteAsync(context, ModelReply.Of(bundle), WireJson.Default.ModelReply, StatusCodes.Status201Created);
    }

    public Task ActivateAsync(HttpContext context)
    {
        var version = Version(context);
        if (!bundles.List().Any(bundle => bundle.Version == version))
        {
            throw new ProblemException(ProblemCode.BundleUnknown, "No bundle of this version is stored; GET /v1/models lists those that are.");
        }

        return RunAsync(context, "activate", (progress, cancellation) => change.ActivateAsync(version, progress, cancellation));
    }

    public Task RollbackAsync(HttpContext context)
    {
        var (version, status) = (Version(context), models.Status);
        if (status.Active != version)
        {
            throw new ProblemException(ProblemCode.RollbackUnavailable, $"The bundle of the path is not the active one, which is {status.Active ?? "none"}.");
        }

        if (status.Previous is null)
        {
            throw new ProblemException(ProblemCode.RollbackUnavailable, "No bundle was active before this one.");
        }

        return RunAsync(context, "rollback", (progress, cancellation) => change.RollbackAsync(version, progress, cancellation));
    }

    private async Task<BundleSummary> StoreAsync(Stream zip, CancellationToken cancellation)
    {
        try
        {
            return await bundles.AddAsync(zip, cancellation);
        }
        catch (StorageException e) when (e.InnerException is BadHttpRequestException broken)
        {
            // An IOException like those of a disk, but what failed is the caller's body: too large, or broken off.
            throw new BadHttpRequestException(broken.Message, broken.StatusCode, broken);
        }
    }

    private async Task RunAsync(HttpContext context, string kind, Func<JobProgress, CancellationToken, Task> work)
    {
        if (models.Status.Preparing is { } preparing)
        {
            throw new ProblemException(ProblemCode.ActivationInProgress, $"The host is preparing {preparing}.");
        }

        var job = jobs.Start(kind, work);
        if (!bool.TryParse(context.Request.Query["wait"], out var wait) || !wait)
        {
            await JobsEndpoint.AcceptAsync(context, job);
            return;
        }

        // If the caller goes away the job goes on: it was asked for.
        while (job.State == JobState.Running)
        {
            await Task.Delay(PollEvery, context.RequestAborted);
            job = jobs.Get(job.Id) ?? job;
        }

        if (job.State == JobState.Cancelled)
        {
            throw new ProblemException(ProblemCode.JobCancelled, $"It was job {job.Id}.");
        }

        if (job.Failure is { } failure)
        {
            if (ProblemCode.Of(failure.Code).Status is StatusCodes.Status429TooManyRequests or StatusCodes.Status503ServiceUnavailable)
            {
                context.Response.Headers.RetryAfter = "1";
            }

            throw new ProblemException(ProblemCode.Of(failure.Code), failure.Detail);
        }

        await JsonBody.WriteAsync(context, JobReply.Of(job), WireJson.Default.JobReply);
    }

    private static string Version(HttpContext context) => context.GetRouteValue("version") as string ?? "";
}
