using RecBackend.Core.Items;

namespace RecBackend.Grains.Items;

/// <summary>Where a shard tells what has become durable, before it answers whoever wrote it.</summary>
internal interface IItemChangeSink
{
    /// <summary>Takes changes of one shard, in the order of their versions.</summary>
    Task TellAsync(IReadOnlyList<ItemChange> changes);
}
