using Microsoft.AspNetCore.Http;
using RecBackend.Http.Wire;

namespace RecBackend.Http.Cluster;

/// <summary><c>GET /v1/cluster</c>.</summary>
internal sealed class ClusterEndpoint(IClusterView cluster)
{
    /// <summary><c>?items=true</c>.</summary>
    private static bool WantsItems(HttpRequest request) => bool.TryParse(request.Query["items"], out var wants) && wants;

    public async Task GetAsync(HttpContext context) =>
        await JsonBody.WriteAsync(context, await cluster.ReadAsync(WantsItems(context.Request), context.RequestAborted), WireJson.Default.ClusterReply);
}
