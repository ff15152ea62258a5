using RecBackend.Grains.Membership;
using RecBackend.Grains.Placement;
using RecBackend.Http.Cluster;

namespace RecBackend.Silo.Membership;

/// <summary>The silos for <c>GET /v1/cluster</c>.</summary>
internal sealed class SiloClusterView(ClusterMembers members) : IClusterView
{
    public async ValueTask<ClusterReply> ReadAsync(bool items, CancellationToken cancellation)
    {
        var stored = items ? await members.ReadItemsAsync(cancellation) : default;
        var silos = await members.ReadAsync(cancellation);
        return new([.. silos.Select(Reply)], items ? new(stored.Count, ItemsReply.Write(stored)) : null);
    }

    private static SiloReply Reply(SiloMember silo) => new()
    {
        Name = silo.Name,
        Address = silo.Address,
        Roles = [.. RolesOf(silo.Roles)],
        Ready = silo.Report?.Ready ?? false,
        Draining = silo.IsLeaving || silo.Report?.Draining == true,
        Model = silo.Report?.Model,
        ActivatedAt = silo.Report?.ActivatedAt,
        Items = silo.Report?.Items ?? 0,
        CatalogVersion = silo.Report?.CatalogVersion ?? 0,
        CatalogBytes = silo.Report?.CatalogBytes ?? 0,
        CatalogDigest = silo.Report?.CatalogDigest is { } digest ? ItemsReply.Write(new(0, digest)) : null,
        Lag = silo.Report?.Lag ?? 0,
        Shards = silo.Report?.Shards ?? 0,
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
