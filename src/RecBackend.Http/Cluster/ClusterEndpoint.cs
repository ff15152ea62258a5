using Microsoft.AspNetCore.Http;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Cluster;

/// <summary><c>GET /v1/cluster</c>.</summary>
internal sealed class ClusterEndpoint(IClusterView cluster)
{
    public async Task GetAsync(HttpContext context) =>
        await JsonBody.WriteAsync(context, await cluster.ReadAsync(context.RequestAborted), WireJson.Default.ClusterReply);
}
