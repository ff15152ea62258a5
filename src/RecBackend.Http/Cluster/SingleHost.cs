using RecBackend.Core.Models;

namespace RecBackend.Http.Cluster;

/// <summary>A cluster of one process.</summary>
public sealed class SingleHost(ModelDirectory models) : IClusterView
{
    private static readonly string[] AllRoles = ["storage", "scoring"];

    /// <inheritdoc/>
    public ValueTask<ClusterReply> ReadAsync(CancellationToken cancellation)
    {
        var status = models.Status;
        return new(new ClusterReply(
        [
            new SiloReply
            {
                Name = Environment.MachineName,
                Roles = AllRoles,
                Ready = status.Ready && status.Active is not null,
                Model = status.Active,
                Items = status.Items,
                CatalogVersion = status.CatalogVersion,
                CatalogBytes = status.Memory,
                Lag = 0,
            },
        ]));
    }
}
