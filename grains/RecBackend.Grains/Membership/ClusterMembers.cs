using Orleans.Runtime.MembershipService.SiloMetadata;
using RecBackend.Core.Catalog;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Items;
using RecBackend.Grains.Placement;

namespace RecBackend.Grains.Membership;

/// <summary>A silo of the cluster.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Roles">What it is for.</param>
/// <param name="Address">Base URL of its HTTP API, or null.</param>
/// <param name="IsLeaving">Whether it has told the others that it stops.</param>
/// <param name="Report">How it is; null if it did not answer.</param>
public sealed record SiloMember(string Name, SiloRole Roles, string? Address, bool IsLeaving, SiloReport? Report);

/// <summary>The silos of the cluster, as this one sees them.</summary>
public sealed class ClusterMembers
{
    /// <summary>How long a silo has to answer: whoever asks for all of them should not wait for one that has just died.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(500);

    /// <summary>How long the shards of the items have.</summary>
    private static readonly TimeSpan ItemsPatience = TimeSpan.FromSeconds(15);

    private readonly IClusterMembershipService _membership;
    private readonly ISiloMetadataCache _metadata;
    private readonly SiloStatusServices _status;
    private readonly ItemShards _shards;

    internal ClusterMembers(IClusterMembershipService membership, ISiloMetadataCache metadata, SiloStatusServices status, ItemShards shards) =>
        (_membership, _metadata, _status, _shards) = (membership, metadata, status, shards);

    /// <summary>Count and hash of all stored items: what catalogues come to.</summary>
    /// <exception cref="Core.Storage.StorageException">A shard cannot be read.</exception>
    public async Task<CatalogDigest> ReadItemsAsync(CancellationToken cancellation)
    {
        var states = await Task.WhenAll(_shards.All.Select(shard => GrainCall.TryAgainAsync(() => shard.CompareAsync(null), cancellation, ItemsPatience)));
        return states.SelectMany(state => state.Digests).Aggregate(default(CatalogDigest), (all, one) => all.And(new(one.Count, one.Hash)));
    }

    /// <summary>Those that take part now, or are about to leave, by name.</summary>
    public async Task<IReadOnlyList<SiloMember>> ReadAsync(CancellationToken cancellation) =>
        await Task.WhenAll(_membership.CurrentSnapshot.Members.Values
            .Where(silo => silo.Status is SiloStatus.Active or SiloStatus.ShuttingDown or SiloStatus.Stopping)
            .OrderBy(silo => silo.Name, StringComparer.Ordinal)
            .Select(silo => ReadAsync(silo, cancellation)));

    private async Task<SiloMember> ReadAsync(ClusterMember silo, CancellationToken cancellation)
    {
        SiloReport? report;
        try
        {
            report = await _status[silo.SiloAddress].ReadAsync().WaitAsync(Patience, cancellation);
        }
        catch (Exception error) when (error is TimeoutException or OrleansException)
        {
            report = null;
        }

        return new(silo.Name, _metadata.RolesOf(silo.SiloAddress), _metadata.AddressOf(silo.SiloAddress), silo.Status != SiloStatus.Active, report);
    }
}
