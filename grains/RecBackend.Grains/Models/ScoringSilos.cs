using Orleans.Runtime.MembershipService.SiloMetadata;
using RecBackend.Grains.Placement;

namespace RecBackend.Grains.Models;

/// <summary>Port: the silos that hold models.</summary>
internal interface IScoringSilos
{
    /// <summary>Those that take part now, with their names; also those of which it is not known yet what they are for.</summary>
    IReadOnlyDictionary<SiloAddress, string> Active { get; }

    /// <summary>Whether a silo has died, or is about to leave.</summary>
    bool HasLeft(SiloAddress silo);
}

/// <inheritdoc cref="IScoringSilos"/>
internal sealed class ScoringSilos(IClusterMembershipService membership, ISiloMetadataCache metadata, ILocalSiloDetails here) : IScoringSilos
{
    // A silo that has just started learns late what the others are for: that must not decide a change without them.
    public IReadOnlyDictionary<SiloAddress, string> Active => Members
        .Where(silo => metadata.RolesOf(silo.SiloAddress) is var roles && (roles == SiloRole.None || roles.HasFlag(SiloRole.Scoring)))
        .ToDictionary(silo => silo.SiloAddress, silo => silo.Name);

    /// <summary>Those that take part now, without this one.</summary>
    public List<ClusterMember> Others => [.. Members.Where(silo => !silo.SiloAddress.Equals(here.SiloAddress) && metadata.RolesOf(silo.SiloAddress).HasFlag(SiloRole.Scoring))];

    private IEnumerable<ClusterMember> Members => membership.CurrentSnapshot.Members.Values.Where(silo => silo.Status == SiloStatus.Active);

    public bool HasLeft(SiloAddress silo) => membership.CurrentSnapshot.GetSiloStatus(silo) is SiloStatus.ShuttingDown or SiloStatus.Stopping or SiloStatus.Dead;
}
