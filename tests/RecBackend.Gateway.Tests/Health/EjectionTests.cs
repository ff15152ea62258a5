using RecBackend.Gateway.Tests.Hosting;

namespace RecBackend.Gateway.Tests.Health;

public sealed class EjectionTests
{
    [Fact]
    public async Task Host_that_is_not_ready_gets_no_requests_until_it_is()
    {
        await using var well = await FakeHost.StartAsync("well");
        await using var ill = await FakeHost.StartAsync("ill");
        ill.Ready = false;
        await using var gateway = await RunningGateway.StartAsync([well.Address, ill.Address]);
        await UntilAsync(async () => await HostsOfAsync(gateway, 20) is ["well"]);
        ill.Ready = true;
        await UntilAsync(async () => (await HostsOfAsync(gateway, 20)).Count == 2);
    }

    [Fact]
    public async Task Host_that_breaks_off_is_taken_out_by_its_failures()
    {
        await using var well = await FakeHost.StartAsync("well");
        await using var broken = await FakeHost.StartAsync("broken");
        broken.Answer = context =>
        {
            context.Abort();
            return Task.CompletedTask;
        };
        await using var gateway = await RunningGateway.StartAsync([well.Address, broken.Address]);
        await UntilAllAreAnsweredAsync(gateway);
    }

    [Fact]
    public async Task Host_that_never_answers_rankings_is_taken_out_by_its_silence()
    {
        await using var well = await FakeHost.StartAsync("well");
        await using var silent = await FakeHost.StartAsync("silent");
        silent.Answer = context => Task.Delay(Timeout.Infinite, context.RequestAborted);
        await using var gateway = await RunningGateway.StartAsync([well.Address, silent.Address], "--Gateway:RankTimeoutMs", "100");
        await UntilAllAreAnsweredAsync(gateway);
    }

    [Fact]
    public async Task If_no_host_is_ready_all_are_tried_and_the_gateway_says_it_is_not_ready()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address]);
        await UntilAsync(async () => (await gateway.SendAsync(HttpMethod.Get, "/healthz/ready")).Status == 200);
        host.Ready = false;
        await UntilAsync(async () => (await gateway.SendAsync(HttpMethod.Get, "/healthz/ready")).Status == 503);
        Assert.Equal(200, (await gateway.SendAsync(HttpMethod.Get, "/v1/models")).Status);
        Assert.Equal(200, (await gateway.SendAsync(HttpMethod.Get, "/healthz/live")).Status);
    }

    /// <summary>Waits for a run of successes. The probes of the host in question succeed, so only its failures can tell; and it is let in again after two seconds, so there is no more to wait for.</summary>
    private static async Task UntilAllAreAnsweredAsync(RunningGateway gateway) => await UntilAsync(async () =>
    {
        for (var i = 0; i < 20; i++)
        {
            if ((await gateway.RankAsync()).Status != 200)
            {
                return false;
            }
        }

        return true;
    });

    private static async Task<List<string>> HostsOfAsync(RunningGateway gateway, int requests)
    {
        var hosts = new HashSet<string>();
        for (var i = 0; i < requests; i++)
        {
            hosts.Add((await gateway.RankAsync()).Host);
        }

        return [.. hosts.Order(StringComparer.Ordinal)];
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (var i = 0; i < 300; i++)
        {
            if (await condition())
            {
                return;
            }

            await Task.Delay(100);
        }

        Assert.Fail("It did not come to be in 300 tries.");
    }
}
