namespace RecBackend.Core.Items;

/// <summary>Port: tells of item changes after they are durable. What fills the catalogue.</summary>
public interface IItemChangeFeed
{
    /// <summary>
    /// Calls <paramref name="observer"/> for every change that becomes durable after this call returns. Calls come one batch at a time; changes of one item come in version order.
    /// The writer's own call returns after its observers have returned, so that a ranking that starts after a 2xx sees the write.
    /// </summary>
    IDisposable Subscribe(ItemChangeObserver observer);
}

/// <summary>Takes a batch of changes. Must not block or throw.</summary>
public delegate void ItemChangeObserver(ReadOnlySpan<ItemChange> changes);

/// <summary>One change of one item.</summary>
/// <param name="Id">The item.</param>
/// <param name="Version">Its version after the change.</param>
/// <param name="Kind">What changed.</param>
/// <param name="Record">The item after the change, of whose content an engine may leave out all: whoever needs it reads the item. Null for <see cref="ItemChangeKind.Deleted"/> and <see cref="ItemChangeKind.Counted"/>.</param>
/// <param name="Counters">The counters after the change.</param>
public readonly record struct ItemChange(string Id, long Version, ItemChangeKind Kind, ItemRecord? Record, ItemCounters Counters);

/// <summary>What changed of an item.</summary>
public enum ItemChangeKind
{
    /// <summary>Content or a representation.</summary>
    Written,

    /// <summary>Only the counters.</summary>
    Counted,

    /// <summary>The item is gone.</summary>
    Deleted,
}
