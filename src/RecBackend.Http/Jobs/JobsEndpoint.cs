using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using RecBackend.Core.Jobs;
using RecBackend.Http.Problems;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Jobs;

/// <summary><c>/v1/jobs</c>.</summary>
internal sealed class JobsEndpoint(IJobDirectory jobs)
{
    public async Task ListAsync(HttpContext context) =>
        await JsonBody.WriteAsync(context, new JobListReply([.. (await jobs.ListAsync(context.RequestAborted)).Select(JobReply.Of)]), WireJson.Default.JobListReply);

    public async Task GetAsync(HttpContext context) => await ReplyAsync(context, await jobs.GetAsync(IdOf(context), context.RequestAborted));

    public async Task CancelAsync(HttpContext context) => await ReplyAsync(context, await jobs.CancelAsync(IdOf(context), context.RequestAborted));

    /// <summary>Answers with a job that was started: 202, and where to ask about it.</summary>
    internal static Task AcceptAsync(HttpContext context, JobStatus job)
    {
        context.Response.Headers.Location = $"/v1/jobs/{job.Id}";
        return JsonBody.WriteAsync(context, JobReply.Of(job), WireJson.Default.JobReply, StatusCodes.Status202Accepted);
    }

    private static string IdOf(HttpContext context) => context.GetRouteValue("id") as string ?? "";

    private static Task ReplyAsync(HttpContext context, JobStatus? job) => job is null
        ? throw new ProblemException(ProblemCode.JobUnknown, $"It never was, or more than {JobBoard.KeptJobs} jobs have ended since, or the host that ran it is gone or was started again.")
        : JsonBody.WriteAsync(context, JobReply.Of(job), WireJson.Default.JobReply);
}
