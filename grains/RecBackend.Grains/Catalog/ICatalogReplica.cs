using Orleans.Concurrency;
using Orleans.Services;

namespace RecBackend.Grains.Catalog;

/// <summary>The end of a silo at which changes of items arrive.</summary>
[Alias("RecBackend.ICatalogReplica")]
public interface ICatalogReplica : IGrainService
{
    /// <summary>Takes changes, in the order of their versions.</summary>
    [Alias("Apply")]
    Task ApplyAsync(Immutable<ItemChangeMessage[]> changes);
}
