using RecBackend.Core.Models;
using RecBackend.Http.Hosting;

namespace RecBackend.Http.Cluster;

/// <summary>A cluster of one process.</summary>
public sealed class SingleHost(ModelDirectory models, RecBackendHttpOptions options, HostDrain drain) : IClusterView
{
    private static readonly string[] AllRoles = [SiloRoles.Entity, SiloRoles.Scoring];

    /// <inheritdoc/>
    /// <remarks>Tells nothing of the stored items: the catalogue sees each write before its caller does.</remarks>
    public ValueTask<ClusterReply> ReadAsync(bool items, CancellationToken cancellation)
    {
        var status = models.Status;
        return new(new ClusterReply(
        [
            new SiloReply
            {
                Name = Environment.MachineName,
                Address = options.Address?.ToString().TrimEnd('/'),
                Roles = AllRoles,
                Ready = status.Ready && status.Active is not null,
                Draining = drain.IsUnderWay,
                Model = status.Active,
                ActivatedAt = status.ActivatedAt,
                Items = status.Items,
                CatalogVersion = status.CatalogVersion,
                CatalogDigest = ItemsReply.Write(status.Digest),
                CatalogBytes = status.Memory,
                Lag = 0,
                Shards = 0,
            },
        ]));
    }
}
