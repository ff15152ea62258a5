using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Orleans.Runtime.MembershipService.SiloMetadata;
using RecBackend.Core.Models;
using RecBackend.Grains.Placement;

namespace RecBackend.Grains.Catalog;

/// <summary>
/// The rows of another silo's replica: a silo that joins copies them, in place of having every shard of the items read its segments. What is missing or old in them is found by comparison with the
/// shards before the silo is ready (<see cref="CatalogRepair"/>).
/// </summary>
internal sealed class CatalogCopy(
    CatalogReplicas replicas, IClusterMembershipService membership, ISiloMetadataCache metadata, ILocalSiloDetails here, ILogger<CatalogCopy> log, ModelDirectoryOptions? options = null)
{
    /// <summary>Reads the rows of a silo that holds all items for these bundles. The copy is complete when the last page has no next; it ends before where no silo holds them, or the one that did goes away.</summary>
    public async IAsyncEnumerable<CatalogPage> ReadAsync(IReadOnlyList<string> bundles, [EnumeratorCancellation] CancellationToken cancellation)
    {
        string[] wanted = [.. bundles];
        foreach (var silo in membership.CurrentSnapshot.Members.Values.Where(MayHold))
        {
            int? from = 0;
            while (from is { } next && await TryReadAsync(silo, wanted, next, cancellation) is { } page)
            {
                yield return page;
                from = page.Next;
            }

            if (from != 0)
            {
                log.LogInformation("The catalogue was copied from {Silo}{How}", silo.Name, from is null ? "" : " in part");
                yield break;
            }
        }
    }

    private bool MayHold(ClusterMember silo) =>
        silo.Status == SiloStatus.Active && !silo.SiloAddress.Equals(here.SiloAddress) && metadata.RolesOf(silo.SiloAddress).HasFlag(SiloRole.Scoring);

    private async Task<CatalogPage?> TryReadAsync(ClusterMember silo, string[] bundles, int from, CancellationToken cancellation)
    {
        try
        {
            return await replicas[silo.SiloAddress].ReadRowsAsync(bundles, from, (options ?? new()).Precision).WaitAsync(cancellation);
        }
        catch (Exception error) when (error is OrleansException or TimeoutException)
        {
            return null;
        }
    }
}
