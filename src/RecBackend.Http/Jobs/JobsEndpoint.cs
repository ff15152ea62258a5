using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using RecBackend.Core.Jobs;
using RecBackend.Http.Problems;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Jobs;

/// <summary><c>/v1/jobs</c>.</summary>
internal sealed class JobsEndpoint(JobBoard jobs)
{
    public Task ListAsync(HttpContext context) =>
        JsonBody.WriteAsync(context, new JobListReply([.. jobs.List().Select(JobReply.Of)]), WireJson.Default.JobListReply);

    public Task GetAsync(HttpContext context) => JsonBody.WriteAsync(context, JobReply.Of(Find(context)), WireJson.Default.JobReply);

    public Task CancelAsync(HttpContext context)
    {
        jobs.Cancel(Find(context).Id);
        return GetAsync(context);
    }

    /// <summary>Answers with a job that was started: 202, and where to ask about it.</summary>
    internal static Task AcceptAsync(HttpContext context, JobStatus job)
    {
        context.Response.Headers.Location = $"/v1/jobs/{job.Id}";
        return JsonBody.WriteAsync(context, JobReply.Of(job), WireJson.Default.JobReply, StatusCodes.Status202Accepted);
    }

    private JobStatus Find(HttpContext context) =>
        jobs.Get(context.GetRouteValue("id") as string ?? "")
        ?? throw new ProblemException(ProblemCode.JobUnknown, $"It never was, or more than {JobBoard.KeptJobs} jobs have ended since, or the host was started again.");
}
