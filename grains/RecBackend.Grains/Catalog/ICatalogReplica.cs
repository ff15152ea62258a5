using Orleans.Concurrency;
using Orleans.Services;
using RecBackend.Core.Catalog;

namespace RecBackend.Grains.Catalog;

/// <summary>The end of a silo at which changes of items arrive.</summary>
[Alias("RecBackend.ICatalogReplica")]
public interface ICatalogReplica : IGrainService
{
    /// <summary>Takes changes, in the order of their versions.</summary>
    [Alias("Apply")]
    Task ApplyAsync(Immutable<ItemChangeMessage[]> changes);

    /// <summary>A page of the replica's rows, for a silo that joins.</summary>
    /// <param name="bundles">The bundles that it wants representations for.</param>
    /// <param name="from">0, or where the page before says to go on.</param>
    /// <param name="precision">Form of its rows; those of a replica that keeps less would be less than the items have.</param>
    /// <returns>Null if the replica does not hold all items for each of these bundles, or not as precisely.</returns>
    [Alias("ReadRows")]
    Task<CatalogPage?> ReadRowsAsync(string[] bundles, int from, RowPrecision precision);
}
