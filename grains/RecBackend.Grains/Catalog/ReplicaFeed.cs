using Microsoft.Extensions.Logging;
using RecBackend.Core.Items;

namespace RecBackend.Grains.Catalog;

/// <summary>The changes of all items of the cluster, as they arrive at this silo. Some may come twice, late, or after newer ones: observers go by versions.</summary>
internal sealed class ReplicaFeed(ILogger<ReplicaFeed> log) : IItemChangeFeed
{
    private readonly Lock _lock = new();
    private volatile ItemChangeObserver[] _observers = [];

    public IDisposable Subscribe(ItemChangeObserver observer)
    {
        lock (_lock)
        {
            _observers = [.. _observers, observer];
        }

        return new Subscription(this, observer);
    }

    public void Publish(ReadOnlySpan<ItemChange> changes)
    {
        // One batch at a time, as observers are promised.
        lock (_lock)
        {
            foreach (var observer in _observers)
            {
                try
                {
                    observer(changes);
                }
                catch (Exception error)
                {
                    log.LogError(error, "An observer of item changes failed");
                }
            }
        }
    }

    private void Remove(ItemChangeObserver observer)
    {
        lock (_lock)
        {
            _observers = [.. _observers.Where(one => one != observer)];
        }
    }

    private sealed class Subscription(ReplicaFeed feed, ItemChangeObserver observer) : IDisposable
    {
        public void Dispose() => feed.Remove(observer);
    }
}
