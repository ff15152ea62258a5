using System.Net.Http.Headers;
using RecBackend.Gateway.Tests.Hosting;
using RecBackend.Http.Authentication;

namespace RecBackend.Gateway.Tests.Authentication;

public sealed class KeyReloadTests
{
    [Fact]
    public async Task Withdrawn_key_is_refused_and_added_key_is_taken_without_a_restart()
    {
        var (first, firstHash) = ApiKeyHash.Create();
        var (second, secondHash) = ApiKeyHash.Create();
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address], "--RecBackend:Keys:0:Hash", firstHash.ToString(), "--RecBackend:Keys:0:Scopes", "rank");
        Assert.Equal((200, 401), (await RankWithAsync(first), await RankWithAsync(second)));

        gateway.Configure(("RecBackend:Keys:0:Hash", secondHash.ToString()));
        Assert.Equal((401, 200), (await RankWithAsync(first), await RankWithAsync(second)));

        // Nonsense is not taken: the keys before it hold on.
        gateway.Configure(("RecBackend:Keys:0:Hash", "nonsense"));
        Assert.Equal((401, 200), (await RankWithAsync(first), await RankWithAsync(second)));

        async Task<int> RankWithAsync(string key) => (await gateway.SendAsync(
            HttpMethod.Post, "/v1/rank", new StringContent("{}"), request => request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key))).Status;
    }

    [Fact]
    public async Task Erasing_a_user_needs_an_admin_key()
    {
        var (ingest, ingestHash) = ApiKeyHash.Create();
        var (admin, adminHash) = ApiKeyHash.Create();
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync(
            [host.Address],
            "--RecBackend:Keys:0:Hash", ingestHash.ToString(), "--RecBackend:Keys:0:Scopes", "ingest", "--RecBackend:Keys:1:Hash", adminHash.ToString(), "--RecBackend:Keys:1:Scopes", "admin");
        Assert.Equal(200, await SendAsync(HttpMethod.Get, ingest));
        Assert.Equal(403, await SendAsync(HttpMethod.Delete, ingest));
        Assert.Equal(200, await SendAsync(HttpMethod.Delete, admin));
        Assert.Equal(2, host.Seen.Count);

        async Task<int> SendAsync(HttpMethod method, string key) =>
            (await gateway.SendAsync(method, "/v1/users/u", adapt: request => request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key))).Status;
    }
}
