using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Cluster;

public sealed class ClusterEndpointTests
{
    [Fact]
    public async Task Single_host_is_a_cluster_of_one_that_does_everything()
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { PublicAddress = new Uri("http://10.0.0.7:8080/") });
        var silo = Assert.Single((await host.GetAsync("/v1/cluster")).Json["silos"]!.AsArray())!;
        Assert.Equal(["entity", "scoring"], silo["roles"]!.AsArray().Select(role => (string)role!));
        Assert.Equal("http://10.0.0.7:8080", (string)silo["address"]!);
        Assert.True((bool)silo["ready"]!);
        Assert.False((bool)silo["draining"]!);
    }

    [Fact]
    public async Task Host_that_was_not_told_its_address_tells_none()
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Bundle = false, Items = false });
        var silo = Assert.Single((await host.GetAsync("/v1/cluster")).Json["silos"]!.AsArray())!.AsObject();
        Assert.False(silo.ContainsKey("address"));
        Assert.False((bool)silo["ready"]!);
    }
}
