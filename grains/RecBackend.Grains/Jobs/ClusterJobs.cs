using System.Text.Json;
using RecBackend.Core.Jobs;
using RecBackend.Grains.Models;

namespace RecBackend.Grains.Jobs;

/// <summary>The jobs of all scoring silos, which are those that run any: whoever started one may ask any of them. A silo that does not answer is left out, and its jobs end with it.</summary>
internal sealed class ClusterJobs(JobBoard local, ScoringSilos silos, SiloJobServices services) : IJobDirectory
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    public async ValueTask<JobStatus?> GetAsync(string id, CancellationToken cancellation) =>
        local.Get(id) ?? (await AskAsync(silo => silo.GetAsync(id), cancellation)).Select(Read<JobStatus>).FirstOrDefault();

    public async ValueTask<IReadOnlyList<JobStatus>> ListAsync(CancellationToken cancellation) =>
        [.. (await AskAsync(silo => silo.ListAsync()!, cancellation)).SelectMany(Read<JobStatus[]>).Concat(local.List()).OrderByDescending(job => job.Started)];

    public async ValueTask<JobStatus?> CancelAsync(string id, CancellationToken cancellation)
    {
        if (local.Get(id) is null)
        {
            return (await AskAsync(silo => silo.CancelAsync(id), cancellation)).Select(Read<JobStatus>).FirstOrDefault();
        }

        local.Cancel(id);
        return local.Get(id);
    }

    private static T Read<T>(string json) => JsonSerializer.Deserialize<T>(json)!;

    private async Task<IEnumerable<string>> AskAsync(Func<ISiloJobs, Task<string?>> question, CancellationToken cancellation)
    {
        var answers = await Task.WhenAll(silos.Others.Select(async silo =>
        {
            try
            {
                return await question(services[silo.SiloAddress]).WaitAsync(Patience, cancellation);
            }
            catch (Exception error) when (error is TimeoutException or OrleansException)
            {
                return null;
            }
        }));
        return answers.OfType<string>();
    }
}
