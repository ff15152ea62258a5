using System.Net;
using System.Text;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Server.Tests;

public sealed class DrainTests
{
    [Fact]
    public async Task Server_that_gets_SIGTERM_says_so_and_ranks_until_its_drain_is_over()
    {
        using var state = new StateFolder();
        await using var server = await ChildProcess.Server(state.Path, "--RecBackend:DrainSeconds", "10").ReadyAsync();
        await server.LoadItemsAsync();
        var ended = server.StopAsync();
        var said = false;
        for (var i = 0; i < 200 && !said && !ended.IsCompleted; i++)
        {
            using var ready = await server.Client.GetAsync("/healthz/ready");
            said = ready.StatusCode == HttpStatusCode.ServiceUnavailable && (await ready.Content.ReadAsStringAsync()).Contains("\"draining\"", StringComparison.Ordinal);
            await Task.Delay(20);
        }

        Assert.True(said, server.Output);
        using var content = new StringContent("""{"user":"u","items":["i01","i02"]}""", Encoding.UTF8, "application/json");
        using var ranking = await server.Client.PostAsync("/v1/rank", content);
        Assert.Contains("\"mode\":\"model\"", await ranking.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(0, await ended);
    }
}
