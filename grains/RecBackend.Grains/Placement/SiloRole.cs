using Orleans.Runtime.MembershipService.SiloMetadata;

namespace RecBackend.Grains.Placement;

/// <summary>What a silo is for.</summary>
[Flags]
public enum SiloRole
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Holds users and items.</summary>
    Entity = 1,

    /// <summary>Holds the catalogue and the model, and ranks.</summary>
    Scoring = 2,
}

/// <summary>What silos tell each other of themselves when they meet.</summary>
internal static class SiloMetadataKeys
{
    private const string Roles = "recbackend.roles";
    private const string Address = "recbackend.address";

    public static Dictionary<string, string> Of(SiloRole roles, Uri? address)
    {
        var metadata = new Dictionary<string, string> { [Roles] = roles.ToString() };
        if (address is not null)
        {
            metadata[Address] = address.ToString();
        }

        return metadata;
    }

    /// <summary>The silo's roles; <see cref="SiloRole.None"/> while they are not known here.</summary>
    public static SiloRole RolesOf(this ISiloMetadataCache cache, SiloAddress silo) =>
        cache.GetSiloMetadata(silo).Metadata.TryGetValue(Roles, out var roles) ? Enum.Parse<SiloRole>(roles) : SiloRole.None;

    /// <summary>The silos that take part now and hold users and items.</summary>
    public static IEnumerable<SiloAddress> EntitySilosOf(this ISiloMetadataCache cache, ClusterMembershipSnapshot silos) =>
        silos.Members.Values.Where(silo => silo.Status == SiloStatus.Active && cache.RolesOf(silo.SiloAddress).HasFlag(SiloRole.Entity)).Select(silo => silo.SiloAddress);

    /// <summary>Base URL of the silo's HTTP API, or null.</summary>
    public static string? AddressOf(this ISiloMetadataCache cache, SiloAddress silo) =>
        cache.GetSiloMetadata(silo).Metadata.GetValueOrDefault(Address)?.TrimEnd('/');
}
