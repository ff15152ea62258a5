using Orleans.Placement;
using Orleans.Runtime.Placement;
using RecBackend.Grains.Items;

namespace RecBackend.Grains.Placement;

/// <summary>Puts a shard of the items where it belongs: <see cref="ShardHomes"/>.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class AtShardHomeAttribute() : PlacementAttribute(new ShardHomePlacement());

/// <summary>The strategy that <see cref="AtShardHomeAttribute"/> asks for.</summary>
internal sealed class ShardHomePlacement : PlacementStrategy;

/// <inheritdoc cref="AtShardHomeAttribute"/>
internal sealed class ShardHomeDirector(ShardHomes homes) : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var (shard, _) = ItemShards.Parse(target.GrainIdentity.GetIntegerKey());
        var compatible = context.GetCompatibleSilos(target);

        // Orleans and the table of silos may know of a silo a moment before one another; the shard moves later.
        return Task.FromResult(homes.Of(shard) is { } home && compatible.Contains(home) ? home : compatible[shard % compatible.Length]);
    }
}
