using System.Text.Json;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using RecBackend.Core.Jobs;

namespace RecBackend.Grains.Jobs;

/// <inheritdoc cref="ISiloJobs"/>
[Reentrant]
internal sealed class SiloJobs(GrainId id, Silo silo, ILoggerFactory loggers, JobBoard jobs) : GrainService(id, silo, loggers), ISiloJobs
{
    public Task<string?> GetAsync(string id) => Task.FromResult(Write(jobs.Get(id)));

    public Task<string> ListAsync() => Task.FromResult(JsonSerializer.Serialize(jobs.List()));

    public Task<string?> CancelAsync(string id)
    {
        jobs.Cancel(id);
        return GetAsync(id);
    }

    private static string? Write(JobStatus? job) => job is null ? null : JsonSerializer.Serialize(job);
}

/// <summary>Calls the jobs of a silo.</summary>
internal sealed class SiloJobServices(IServiceProvider services) : GrainServiceClient<ISiloJobs>(services)
{
    public ISiloJobs this[SiloAddress silo] => GetGrainService(silo);
}
