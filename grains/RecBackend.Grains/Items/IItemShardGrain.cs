using Orleans.Concurrency;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Counting;

namespace RecBackend.Grains.Items;

/// <summary>
/// The single writer of the items of one shard of the ID space: content, counters, representations and versions. A call returns when its effect is durable.
/// <para>
/// Why many items in one grain: a grain for each item writes a blob for each item, and a bulk load waits for as many blob writes as there are items. Here the calls that come while a write is under
/// way share the next one.
/// </para>
/// </summary>
[Alias("RecBackend.IItemShardGrain")]
public interface IItemShardGrain : IGrainWithIntegerKey
{
    /// <summary>The first items of these IDs, in their order, null where there is none: as many as fit into a message, and at least one.</summary>
    /// <param name="ids">The IDs.</param>
    /// <param name="content">Whether the content is wanted; without it, it is empty, and pictures are neither read nor sent.</param>
    [Alias("Read")]
    Task<ItemReading?[]> ReadAsync(string[] ids, bool content);

    /// <summary>Which of these IDs are items.</summary>
    [Alias("Exist")]
    Task<bool[]> ExistAsync(string[] ids);

    /// <summary>Inserts or replaces contents; gives the items' new versions.</summary>
    [Alias("Upsert"), ResponseTimeout(GrainCall.WriteTime)]
    Task<long[]> UpsertAsync(Immutable<UpsertMessage[]> upserts);

    /// <summary>Sets representations; gives for each whether it was applied.</summary>
    [Alias("SetRepresentations"), ResponseTimeout(GrainCall.WriteTime)]
    Task<bool[]> SetRepresentationsAsync(Immutable<RepresentationMessage[]> updates);

    /// <summary>Deletes items; gives for each whether there was one.</summary>
    [Alias("Delete"), ResponseTimeout(GrainCall.WriteTime)]
    Task<bool[]> DeleteAsync(string[] ids);

    /// <summary>Drops the representations of bundles that are not named.</summary>
    [Alias("Trim"), ResponseTimeout(GrainCall.WriteTime)]
    Task TrimAsync(string[] keep);

    /// <summary>Adds counts, once for each batch.</summary>
    /// <returns>False if the counts must come alone, user by user: <see cref="CountLedger"/>.</returns>
    [Alias("Count"), ResponseTimeout(GrainCall.WriteTime)]
    Task<bool> CountAsync(CountBatch batch, Immutable<ItemCount[]> counts, string[] leftOut);

    /// <summary>Adds one user's part of a batch, unless it was counted with the batch or alone.</summary>
    /// <returns>Whether it was added.</returns>
    [Alias("CountAlone"), ResponseTimeout(GrainCall.WriteTime)]
    Task<bool> CountAloneAsync(UserOfBatch part, Immutable<ItemCount[]> counts);

    /// <summary>The IDs of all items, some parts of the hash space at a time: an item is in one part for ever, whatever is written meanwhile.</summary>
    /// <param name="from">The first part: 0, then <see cref="ShardIds.Next"/>.</param>
    [Alias("Ids")]
    Task<ShardIds> IdsAsync(int from);

    /// <summary>Where the shard stands, for comparison with a catalogue.</summary>
    /// <param name="since">Version after which changes are listed; null = none are.</param>
    [Alias("Compare")]
    Task<ShardState> CompareAsync(long? since);

    /// <summary>The items of one digest, with their versions.</summary>
    [Alias("Versions")]
    Task<ShardVersions> VersionsAsync(int digest);

    /// <summary>Number of items.</summary>
    [Alias("Size")]
    Task<long> CountItemsAsync();
}
