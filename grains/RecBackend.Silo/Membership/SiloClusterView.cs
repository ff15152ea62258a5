using RecBackend.Grains.Membership;
using RecBackend.Grains.Placement;
using RecBackend.Http.Cluster;

namespace RecBackend.Silo.Membership;

/// <summary>The silos for <c>GET /v1/cluster</c>.</summary>
internal sealed class SiloClusterView(ClusterMembers members) : IClusterView
{
    public async ValueTask<ClusterReply> ReadAsync(CancellationToken cancellation)
    {
        var silos = await members.ReadAsync(cancellation);
        var newest = silos.Max(silo => silo.Report?.CatalogVersion ?? 0);
        return new([.. silos.Select(silo => Reply(silo, newest))]);
    }

    private static SiloReply Reply(SiloMember silo, long newest) => new()
    {
        Name = silo.Name,
        Address = silo.Address,
        Roles = [.. RolesOf(silo.Roles)],
        Ready = silo.Report?.Ready ?? false,
        Draining = silo.Report?.Draining ?? false,
        Model = silo.Report?.Model,
        Items = silo.Report?.Items ?? 0,
        CatalogVersion = silo.Report?.CatalogVersion ?? 0,
        CatalogBytes = silo.Report?.CatalogBytes ?? 0,

        // A silo without a catalogue is behind nobody.
        Lag = silo.Roles.HasFlag(SiloRole.Scoring) ? newest - (silo.Report?.CatalogVersion ?? 0) : 0,
    };

    private static IEnumerable<string> RolesOf(SiloRole roles)
    {
        if (roles.HasFlag(SiloRole.Entity))
        {
            yield return SiloRoles.Entity;
        }

        if (roles.HasFlag(SiloRole.Scoring))
        {
            yield return SiloRoles.Scoring;
        }
    }
}
