using Microsoft.Extensions.DependencyInjection;
using RecBackend.Http.Health;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Health;

public sealed class EngineStartTests
{
    [Fact]
    public async Task Calls_wait_for_the_engine_while_health_and_metrics_answer()
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Started = false });
        (await host.PostAsync("/v1/rank", """{"user":"u","items":["i01"]}""")).IsProblem(503, "not_ready");
        (await host.GetAsync("/v1/models")).IsProblem(503, "not_ready");
        Assert.Equal(200, (await host.GetAsync("/healthz/live")).Status);
        Assert.Equal(200, (await host.GetAsync("/metrics")).Status);
        host.App.Services.GetRequiredService<EngineStart>().Complete();
        Assert.Equal(200, (await host.GetAsync("/v1/models")).Status);
    }
}
