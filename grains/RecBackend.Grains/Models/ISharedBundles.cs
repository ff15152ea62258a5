using RecBackend.Core.Models;

namespace RecBackend.Grains.Models;

/// <summary>Port: bundles that are kept for all silos, each of which has those on its own disk that it has fetched.</summary>
public interface ISharedBundles : IBundleStore
{
    /// <summary>Fetches a bundle, unless it is here.</summary>
    /// <exception cref="BundleRefusedException"><c>bundle_unknown</c>, or what is kept is not valid.</exception>
    /// <exception cref="Core.Storage.StorageException">It cannot be read, or the disk is full.</exception>
    Task FetchAsync(string version, CancellationToken cancellation);

    /// <summary>Fetches all bundles that are not here.</summary>
    Task FetchAllAsync(CancellationToken cancellation);
}
