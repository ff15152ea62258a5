using System.Net.Http.Headers;
using RecBackend.Gateway.Tests.Hosting;
using RecBackend.Http.Authentication;

namespace RecBackend.Gateway.Tests.Authentication;

public sealed class EdgeKeyTests
{
    [Fact]
    public async Task Call_without_the_right_key_ends_at_the_edge_and_a_right_key_reaches_the_host()
    {
        var (key, hash) = ApiKeyHash.Create();
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address], "--RecBackend:Keys:0:Hash", hash.ToString(), "--RecBackend:Keys:0:Scopes", "rank");

        Assert.Equal(401, (await gateway.RankAsync()).Status);
        var (other, _) = ApiKeyHash.Create();
        Assert.Equal(401, (await RankWithAsync(other)).Status);
        Assert.Equal(403, (await gateway.SendAsync(HttpMethod.Get, "/v1/models", adapt: request => request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key))).Status);
        Assert.Equal(403, (await gateway.SendAsync(HttpMethod.Post, "/v1/events", new StringContent("{}"), request => request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key))).Status);
        Assert.Empty(host.Seen);
        Assert.Equal(200, (await gateway.SendAsync(HttpMethod.Get, "/healthz/live")).Status);

        Assert.Equal(200, (await RankWithAsync(key)).Status);
        Assert.Equal($"Bearer {key}", Assert.Single(host.Seen).Headers.Authorization.ToString());

        Task<(int Status, string Text, string Host, string RequestId)> RankWithAsync(string presented) =>
            gateway.SendAsync(HttpMethod.Post, "/v1/rank", new StringContent("{}"), request => request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", presented));
    }

    [Fact]
    public async Task Gateway_without_keys_and_without_development_mode_refuses()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address], "--RecBackend:Development", "false");
        var answer = await gateway.RankAsync();
        Assert.Equal(403, answer.Status);
        Assert.Contains("keys_not_configured", answer.Text, StringComparison.Ordinal);
    }
}
