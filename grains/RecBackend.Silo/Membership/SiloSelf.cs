using RecBackend.Core.Models;
using RecBackend.Grains.Membership;
using RecBackend.Grains.Placement;
using RecBackend.Http.Health;
using RecBackend.Http.Hosting;

namespace RecBackend.Silo.Membership;

/// <summary>How the silo of this process is.</summary>
internal sealed class SiloSelf(ModelDirectory models, EngineStart start, HostDrain drain, SiloHostOptions options) : ISiloSelf
{
    public SiloReport Read()
    {
        var status = models.Status;
        var ranks = status.Ready && status.Active is not null;
        return new()
        {
            Ready = options.Cluster.Engine.Roles.HasFlag(SiloRole.Scoring) ? ranks : start.IsOver,
            Draining = drain.IsUnderWay,
            Model = status.Active,
            Items = status.Items,
            CatalogVersion = status.CatalogVersion,
            CatalogBytes = status.Memory,
        };
    }
}
