using RecBackend.Grains.Models;
using RecBackend.Http.Health;

namespace RecBackend.Silo.Membership;

/// <summary>Whether this silo has the cluster's model, for <c>/healthz/ready</c>.</summary>
internal sealed class SiloModelLag(ModelFollower follower) : IModelLag
{
    public bool IsBehind => follower.IsBehind;
}
