using Azure;
using Azure.Storage.Blobs;
using Azure.Storage.Blobs.Models;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Grains.Models;
using RecBackend.Hosting;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Silo.Models;

/// <summary>
/// Bundles in blobs, <c>VERSION.zip</c>, and those that this silo has fetched in a folder. Blobs rather than messages between silos: a silo that joins later finds every bundle without asking
/// anybody, and no message has the size of a model.
/// </summary>
internal sealed class BlobBundleStore(FileBundleStore local, string folder, BlobContainerClient blobs, BundleNews news) : ISharedBundles, IDisposable
{
    private const string Extension = ".zip";

    private readonly SemaphoreSlim _fetching = new(1);

    public IReadOnlyList<BundleSummary> List() => local.List();

    /// <exception cref="StorageException">The disk is full, or the blobs cannot be written.</exception>
    public async ValueTask<BundleSummary> AddAsync(Stream zip, CancellationToken cancellation)
    {
        var added = await local.AddAsync(zip, cancellation);
        await UploadAsync(added.Version, cancellation);
        await news.SpreadAsync(added.Version);
        return added;
    }

    public async ValueTask<IModel> LoadAsync(string version, CancellationToken cancellation)
    {
        await FetchAsync(version, cancellation);
        return await local.LoadAsync(version, cancellation);
    }

    public async Task FetchAsync(string version, CancellationToken cancellation)
    {
        await _fetching.WaitAsync(cancellation);
        try
        {
            if (!local.List().Any(bundle => bundle.Version == version))
            {
                await DownloadAsync(version, cancellation);
            }
        }
        finally
        {
            _fetching.Release();
        }
    }

    public async Task FetchAllAsync(CancellationToken cancellation)
    {
        try
        {
            await blobs.CreateIfNotExistsAsync(cancellationToken: cancellation);
            await foreach (var blob in blobs.GetBlobsAsync(cancellationToken: cancellation))
            {
                await FetchAsync(Path.GetFileNameWithoutExtension(blob.Name), cancellation);
            }
        }
        catch (RequestFailedException failure)
        {
            throw Unavailable("The bundles cannot be listed", failure);
        }
    }

    public ActiveVersions ReadActive() => local.ReadActive();

    public void WriteActive(ActiveVersions versions) => local.WriteActive(versions);

    public void Dispose() => _fetching.Dispose();

    private async Task UploadAsync(string version, CancellationToken cancellation)
    {
        await using var zip = await BundleZip.OpenAsync(Path.Combine(folder, "bundles", version), cancellation);
        try
        {
            await blobs.CreateIfNotExistsAsync(cancellationToken: cancellation);
            await blobs.GetBlobClient(version + Extension).UploadAsync(zip, new BlobUploadOptions { Conditions = new() { IfNoneMatch = ETag.All } }, cancellation);
        }
        catch (RequestFailedException failure) when (failure.ErrorCode == BlobErrorCode.BlobAlreadyExists)
        {
            // A version names one content.
        }
        catch (RequestFailedException failure)
        {
            throw Unavailable($"The bundle {version} is on this silo only", failure);
        }
    }

    private async Task DownloadAsync(string version, CancellationToken cancellation)
    {
        await using var zip = new FileStream(
            Path.Combine(folder, "staging", Path.GetRandomFileName()),
            FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, bufferSize: 64 * 1024, FileOptions.DeleteOnClose | FileOptions.Asynchronous);
        try
        {
            await blobs.GetBlobClient(version + Extension).DownloadToAsync(zip, cancellation);
        }
        catch (RequestFailedException failure) when (failure.Status == 404)
        {
            throw new BundleRefusedException("bundle_unknown", $"There is no bundle '{version}'.", failure);
        }
        catch (RequestFailedException failure)
        {
            throw Unavailable($"The bundle {version} cannot be fetched", failure);
        }

        zip.Position = 0;
        await local.AddAsync(zip, cancellation);
    }

    private static StorageException Unavailable(string what, RequestFailedException failure) => new(StorageException.Unavailable, $"{what}: {failure.Message}", failure);
}
