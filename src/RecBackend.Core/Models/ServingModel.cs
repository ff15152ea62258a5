using System.Collections.Concurrent;
using RecBackend.Core.Catalog;

namespace RecBackend.Core.Models;

/// <summary>
/// A loaded bundle together with the rows that were made for it. Rankings hold on to one from start to end, so that no score mixes bundles.
/// Counts its users: the model is disposed when its owner has let it go and the last ranking is done.
/// </summary>
public sealed class ServingModel(IModel model, ItemCatalog catalog)
{
    private readonly ConcurrentQueue<UserFeatures> _features = new();
    private readonly TaskCompletionSource _disposed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private UserEncoding? _strangerEncoding;
    private int _holders = 1;
    private volatile bool _filled;

    /// <summary>The bundle's graphs and tables.</summary>
    public IModel Model { get; } = model;

    /// <summary>The rows.</summary>
    public ItemCatalog Catalog { get; } = catalog;

    /// <summary>Sizes and feature order.</summary>
    public ModelLayout Layout => Model.Layout;

    /// <summary>The bundle's version.</summary>
    public string Version => Model.Layout.Version;

    /// <summary>The encoding of a user of whom neither training nor the engine knows anything: the same for all of them. Null until the first one came.</summary>
    internal UserEncoding? StrangerEncoding
    {
        get => Volatile.Read(ref _strangerEncoding);
        set => Volatile.Write(ref _strangerEncoding, value);
    }

    /// <summary>Whether the catalogue has been given all items once; since then it is fed with changes.</summary>
    internal bool IsFilled
    {
        get => _filled;
        set => _filled = value;
    }

    /// <summary>Ends when the model is disposed.</summary>
    internal Task Disposed => _disposed.Task;

    /// <summary>Holds on to the model, unless it was let go already.</summary>
    internal bool TryHold()
    {
        var holders = Volatile.Read(ref _holders);
        while (holders > 0)
        {
            var seen = Interlocked.CompareExchange(ref _holders, holders + 1, holders);
            if (seen == holders)
            {
                return true;
            }

            holders = seen;
        }

        return false;
    }

    /// <summary>Lets the model go; the last one disposes it.</summary>
    internal void Release()
    {
        if (Interlocked.Decrement(ref _holders) == 0)
        {
            _ = DisposeModelAsync();
        }
    }

    /// <summary>Input buffers for the user encoder.</summary>
    internal UserFeatures RentFeatures() => _features.TryDequeue(out var features) ? features : new UserFeatures(Layout);

    /// <summary>Takes input buffers back.</summary>
    internal void Return(UserFeatures features) => _features.Enqueue(features);

    private async Task DisposeModelAsync()
    {
        try
        {
            await Model.DisposeAsync();
            _disposed.SetResult();
        }
        catch (Exception error)
        {
            _disposed.SetException(error);
        }
    }
}

/// <summary>A held model and the catalogue to read. Dispose it once.</summary>
public readonly struct ModelLease : IDisposable
{
    /// <summary>Takes over a hold on <paramref name="serving"/>.</summary>
    internal ModelLease(ServingModel serving)
    {
        Serving = serving;
        Catalog = serving.Catalog;
    }

    /// <summary>No model, but a catalogue of counters.</summary>
    internal ModelLease(ItemCatalog counters) => Catalog = counters;

    /// <summary>The model and its catalogue, or null if no bundle is active.</summary>
    public ServingModel? Serving { get; }

    /// <summary>The catalogue: the model's, or one of counters alone if no bundle is active.</summary>
    public ItemCatalog Catalog { get; }

    /// <summary>Gives the model back.</summary>
    public void Dispose() => Serving?.Release();
}
