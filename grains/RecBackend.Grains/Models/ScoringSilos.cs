using Orleans.Runtime.MembershipService.SiloMetadata;
using RecBackend.Grains.Placement;

namespace RecBackend.Grains.Models;

/// <summary>The other silos that hold models.</summary>
internal sealed class ScoringSilos(IClusterMembershipService membership, ISiloMetadataCache metadata, ILocalSiloDetails here)
{
    /// <summary>Those that take part now.</summary>
    public List<ClusterMember> Others =>
        [.. membership.CurrentSnapshot.Members.Values.Where(silo =>
            silo.Status == SiloStatus.Active && !silo.SiloAddress.Equals(here.SiloAddress) && metadata.RolesOf(silo.SiloAddress).HasFlag(SiloRole.Scoring))];
}
