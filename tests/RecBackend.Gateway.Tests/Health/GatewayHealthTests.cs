using RecBackend.Gateway.Tests.Hosting;

namespace RecBackend.Gateway.Tests.Health;

public sealed class GatewayHealthTests
{
    [Fact]
    public async Task Readiness_tells_hosts_by_name_and_not_by_address()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address]);
        var answer = await gateway.SendAsync(HttpMethod.Get, "/healthz/ready");
        Assert.Contains("\"hosts\":{\"0\":", answer.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(host.Address.Authority, answer.Text, StringComparison.Ordinal);
    }
}
