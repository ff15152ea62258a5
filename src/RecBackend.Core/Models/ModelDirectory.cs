using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;

namespace RecBackend.Core.Models;

/// <summary>Settings of a <see cref="ModelDirectory"/>.</summary>
public sealed record ModelDirectoryOptions
{
    /// <summary>Form of the catalogue's rows.</summary>
    public RowPrecision Precision { get; init; } = RowPrecision.Single;

    /// <summary>Items that are encoded in one call.</summary>
    public int EncodeBatch { get; init; } = 32;
}

/// <summary>Where the models of a host stand.</summary>
/// <param name="Ready">Whether start-up is over: the catalogue is filled.</param>
/// <param name="Active">Version of the bundle that answers, or null.</param>
/// <param name="Previous">Version that a rollback returns to, or null.</param>
/// <param name="Preparing">Version that is being made ready, or null.</param>
/// <param name="Items">Items in the catalogue that answers.</param>
/// <param name="CatalogVersion">The highest item version in it.</param>
/// <param name="Memory">Memory of all catalogues.</param>
/// <param name="Problem">Why the recorded active bundle could not be loaded at start, or null.</param>
public sealed record ModelStatus(
    bool Ready, string? Active, string? Previous, string? Preparing, int Items, long CatalogVersion, long Memory, BundleRefusedException? Problem);

/// <summary>
/// The models of this host: the active one, the previous one for rollback, and their catalogues, which it keeps fed with item changes.
/// Rankings take a <see cref="ModelLease"/>; a model is disposed when the last lease is given back.
/// </summary>
public sealed class ModelDirectory : IAsyncDisposable
{
    /// <summary>Makes a directory; <see cref="StartAsync"/> fills it.</summary>
    public ModelDirectory(IBundleStore bundles, IItemDirectory items, IItemChangeFeed changes, ModelDirectoryOptions options) => throw new NotImplementedException();

    /// <summary>Where things stand.</summary>
    public ModelStatus Status => throw new NotImplementedException();

    /// <summary>Loads the bundles that were active when the host last ran and fills their catalogues. Without one, rankings are answered by the fallback.</summary>
    public Task StartAsync(JobProgress progress, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>The model that answers now, held until the lease is disposed.</summary>
    public ModelLease Lease() => throw new NotImplementedException();

    /// <summary>The model of <paramref name="version"/>, active or previous.</summary>
    /// <exception cref="BundleRefusedException"><c>bundle_unknown</c>: it is not loaded.</exception>
    public ModelLease Lease(string version) => throw new NotImplementedException();

    /// <summary>Loads a stored bundle, encodes every item that lacks a representation for it, and makes it the active one. Rankings go on meanwhile.</summary>
    /// <exception cref="OperationRefusedException"><c>activation_in_progress</c>.</exception>
    /// <exception cref="BundleRefusedException">The bundle is not stored, or not valid.</exception>
    public Task ActivateAsync(string version, JobProgress progress, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Swaps the active and the previous model, at once.</summary>
    /// <exception cref="OperationRefusedException"><c>rollback_unavailable</c> or <c>activation_in_progress</c>.</exception>
    public Task RollbackAsync(CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Stops feeding and lets the models go.</summary>
    public ValueTask DisposeAsync() => throw new NotImplementedException();
}

/// <summary>A held model and the catalogue to read. Dispose it once.</summary>
public readonly struct ModelLease : IDisposable
{
    /// <summary>The model and its catalogue, or null if no bundle is active.</summary>
    public ServingModel? Serving => throw new NotImplementedException();

    /// <summary>The catalogue: the model's, or one of counters alone if no bundle is active.</summary>
    public ItemCatalog Catalog => throw new NotImplementedException();

    /// <summary>Gives the model back.</summary>
    public void Dispose() => throw new NotImplementedException();
}
