using RecBackend.Core.Models;
using RecBackend.Grains.Membership;
using RecBackend.Grains.Models;
using RecBackend.Http.Health;
using RecBackend.Http.Hosting;

namespace RecBackend.Silo.Membership;

/// <summary>How the silo of this process is.</summary>
internal sealed class SiloSelf(ModelDirectory models, EngineStart start, HostDrain drain, ModelFollower? follower = null) : ISiloSelf
{
    public SiloReport Read()
    {
        var status = models.Status;
        return new()
        {
            Ready = follower is null ? start.IsOver : status.Ready && status.Active is not null && !follower.IsBehind,
            Draining = drain.IsUnderWay,
            Model = status.Active,
            ActivatedAt = status.ActivatedAt,
            Items = status.Items,
            CatalogVersion = status.CatalogVersion,
            CatalogBytes = status.Memory,
            CatalogDigest = follower is null ? null : status.Digest.Hash,
        };
    }
}
