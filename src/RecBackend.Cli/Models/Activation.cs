using RecBackend.Cli.Terminal;
using RecBackend.Client;

namespace RecBackend.Cli.Models;

/// <summary>Waits for the job that makes a bundle the active one.</summary>
internal static class Activation
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);

    /// <summary>Shows the job's progress until it ends.</summary>
    /// <exception cref="CommandException">It failed.</exception>
    public static async Task WaitAsync(RecBackendClient client, Job job, string what, CancellationToken cancellation)
    {
        if (!job.Ended)
        {
            await LongWork.RunAsync(what, job.Total ?? 0, async report =>
            {
                while (!job.Ended)
                {
                    await Task.Delay(Interval, cancellation);
                    job = await client.GetJobAsync(job.Id, cancellation);
                    report(job.Done);
                }
            });
        }

        if (!job.Succeeded)
        {
            throw new CommandException($"{what} {job.State}: {job.ErrorCode} {job.Error}");
        }
    }
}
