using Orleans.Services;

namespace RecBackend.Grains.Jobs;

/// <summary>Asks a silo about the jobs that it runs or has run. Jobs travel as JSON.</summary>
[Alias("RecBackend.ISiloJobs")]
public interface ISiloJobs : IGrainService
{
    /// <summary>A job of the silo, or null.</summary>
    [Alias("Get")]
    Task<string?> GetAsync(string id);

    /// <summary>All jobs of the silo.</summary>
    [Alias("List")]
    Task<string> ListAsync();

    /// <summary>Asks a job of the silo to stop; gives the job, or null.</summary>
    [Alias("Cancel")]
    Task<string?> CancelAsync(string id);
}
