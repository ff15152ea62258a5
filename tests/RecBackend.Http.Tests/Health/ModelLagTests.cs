using RecBackend.Http.Health;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Health;

public sealed class ModelLagTests
{
    [Fact]
    public async Task Host_with_another_model_than_its_cluster_is_not_ready_until_it_has_that()
    {
        var lag = new Lag { IsBehind = true };
        await using var host = await RunningHost.StartAsync(new HostSettings { Lag = lag });
        var behind = await host.GetAsync("/healthz/ready");
        Assert.Equal(503, behind.Status);
        Assert.Equal("""["bundle"]""", behind.Json["missing"]!.ToJsonString());
        Assert.NotNull((string?)behind.Json["model"]);
        Assert.Contains("cluster", (string)behind.Json["detail"]!, StringComparison.Ordinal);

        lag.IsBehind = false;
        Assert.Equal(200, (await host.GetAsync("/healthz/ready")).Status);
    }

    private sealed class Lag : IModelLag
    {
        public bool IsBehind { get; set; }
    }
}
