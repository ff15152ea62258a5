namespace RecBackend.Core.Items;

/// <summary>Port: the truth about items. A call returns only when its effect is durable.</summary>
public interface IItemDirectory
{
    /// <summary>The item, or null if there is none.</summary>
    ValueTask<ItemRecord?> GetAsync(string id, CancellationToken cancellation);

    /// <summary>
    /// Inserts or replaces the content of items, and with it their computed representation; external ones stay. Counters stay.
    /// Entries of one call are applied in order; the same ID twice leaves the later one.
    /// </summary>
    /// <returns>The version of each entry's item after the write.</returns>
    ValueTask<IReadOnlyList<long>> UpsertAsync(IReadOnlyList<ItemUpsert> items, CancellationToken cancellation);

    /// <summary>Sets representations of items that exist.</summary>
    /// <returns>For each entry whether it was applied: false if the item is unknown, or if <see cref="RepresentationUpdate.IfVersion"/> names another version of its content,
    /// or if a computed representation would replace one from outside.</returns>
    ValueTask<IReadOnlyList<bool>> SetRepresentationsAsync(IReadOnlyList<RepresentationUpdate> updates, CancellationToken cancellation);

    /// <summary>Deletes items.</summary>
    /// <returns>For each ID whether there was such an item.</returns>
    ValueTask<IReadOnlyList<bool>> DeleteAsync(IReadOnlyList<string> ids, CancellationToken cancellation);

    /// <summary>Drops the representations of every bundle that is not in <paramref name="keep"/>.</summary>
    ValueTask TrimRepresentationsAsync(IReadOnlyCollection<string> keep, CancellationToken cancellation);

    /// <summary>Number of items.</summary>
    ValueTask<long> CountAsync(CancellationToken cancellation);

    /// <summary>
    /// Reads every item once, in no promised order. An item written while the read goes on may come in its old or its new version:
    /// subscribe to <see cref="IItemChangeFeed"/> first, then read, and keep the higher version.
    /// </summary>
    IAsyncEnumerable<ItemRecord> ReadAllAsync(CancellationToken cancellation);

    /// <summary>As <see cref="ReadAllAsync"/>, for catalogues: an item that has a representation for each of <paramref name="bundles"/> may come without its content.</summary>
    /// <param name="bundles">Versions of bundles.</param>
    /// <param name="cancellation">Gives up.</param>
    IAsyncEnumerable<ItemRecord> ReadRowsAsync(IReadOnlyList<string> bundles, CancellationToken cancellation) => ReadAllAsync(cancellation);
}

/// <summary>A content to store, with the representation that was computed from it if there is an active bundle.</summary>
public sealed record ItemUpsert(string Id, ItemContent Content, Representation? Representation);

/// <summary>A representation to store.</summary>
/// <param name="Id">The item.</param>
/// <param name="Representation">The representation; replaces the one of the same bundle.</param>
/// <param name="IfVersion">If not null: apply only while the item's content is that of this item version, so that a slow warm-up never overwrites the representation of a newer content. Events do not count as a change of content.</param>
public sealed record RepresentationUpdate(string Id, Representation Representation, long? IfVersion);
