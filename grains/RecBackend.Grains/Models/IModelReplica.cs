using Orleans.Services;

namespace RecBackend.Grains.Models;

/// <summary>The end of a scoring silo at which it hears of bundles.</summary>
[Alias("RecBackend.IModelReplica")]
public interface IModelReplica : IGrainService
{
    /// <summary>Fetches a bundle to the silo's disk, unless it is there.</summary>
    /// <returns>Null, or why it cannot.</returns>
    [Alias("Fetch"), ResponseTimeout("00:10:00")]
    Task<ModelRefusal?> FetchAsync(string version);
}
