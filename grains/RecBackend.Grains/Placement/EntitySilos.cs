using Orleans.Placement;
using Orleans.Runtime.MembershipService.SiloMetadata;
using Orleans.Runtime.Placement;

namespace RecBackend.Grains.Placement;

/// <summary>
/// Puts a grain on silos of the role <see cref="SiloRole.Entity"/> only. The filters that come with Orleans compare with the metadata of the silo that calls, which here is a scoring one as
/// often as not.
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class OnEntitySilosAttribute() : PlacementFilterAttribute(new EntitySilos());

/// <summary>The filter that <see cref="OnEntitySilosAttribute"/> asks for.</summary>
internal sealed class EntitySilos() : PlacementFilterStrategy(order: 0);

/// <inheritdoc cref="OnEntitySilosAttribute"/>
internal sealed class EntitySilosDirector(ISiloMetadataCache metadata) : IPlacementFilterDirector
{
    public IEnumerable<SiloAddress> Filter(PlacementFilterStrategy filterStrategy, PlacementTarget target, IEnumerable<SiloAddress> silos) =>
        silos.Where(silo => metadata.RolesOf(silo).HasFlag(SiloRole.Entity));
}
