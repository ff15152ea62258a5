using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using RecBackend.Core.Items;

namespace RecBackend.Embedded.Items;

/// <summary>Hands the changes of each commit to the observers, on the commit thread: hence one batch at a time, in version order, before the writers' calls return.</summary>
internal sealed class ItemChangeFeed(ILogger logger) : IItemChangeFeed
{
    private ImmutableArray<ItemChangeObserver> _observers = [];

    public IDisposable Subscribe(ItemChangeObserver observer)
    {
        // Each subscription is an object of its own, even if one method subscribes twice.
        ItemChangeObserver own = changes => observer(changes);
        ImmutableInterlocked.Update(ref _observers, static (observers, added) => observers.Add(added), own);
        return new Subscription(this, own);
    }

    public void Publish(List<ItemChange> changes)
    {
        if (changes.Count == 0)
        {
            return;
        }

        foreach (var observer in _observers)
        {
            try
            {
                observer(CollectionsMarshal.AsSpan(changes));
            }
            catch (Exception exception)
            {
                // What was committed stays committed; the other observers must still hear of it.
                logger.LogError(exception, "An observer of item changes failed; what it keeps may be out of date");
            }
        }
    }

    private sealed class Subscription(ItemChangeFeed feed, ItemChangeObserver observer) : IDisposable
    {
        public void Dispose() => ImmutableInterlocked.Update(ref feed._observers, static (observers, removed) => observers.Remove(removed), observer);
    }
}
