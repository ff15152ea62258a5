using System.Net.Sockets;
using RecBackend.Gateway.Tests.Hosting;

namespace RecBackend.Gateway.Tests.Routing;

public sealed class RankTimeoutTests
{
    [Fact]
    public async Task Ranking_may_take_as_long_as_its_header_asks_for()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address], "--Gateway:RankTimeoutMs", "100");
        host.Answer = context => Task.Delay(3_000, context.RequestAborted);
        var patient = await gateway.SendAsync(HttpMethod.Post, "/v1/rank", new StringContent("{}"), request => request.Headers.Add("Request-Timeout-Ms", "25000"));
        Assert.Equal((200, "a"), (patient.Status, patient.Host));

        // A short one is given a second more, for the host's own answer; one that the host will refuse asks for nothing.
        foreach (var header in new[] { "50", "99999999" })
        {
            var late = await gateway.SendAsync(HttpMethod.Post, "/v1/rank", new StringContent("{}"), request => request.Headers.Add("Request-Timeout-Ms", header));
            Assert.True(late.Status == 504 && late.Text.Contains("upstream_timeout", StringComparison.Ordinal), late.Text);
        }
    }

    [Fact]
    public async Task Connection_that_is_not_accepted_in_time_is_retried_on_another_host()
    {
        // A full queue of connections that nobody accepts: on Linux the next one gets no answer at all.
        using var silent = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        silent.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        silent.Listen(0);
        var waiting = Enumerable.Range(0, 4).Select(_ => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)).ToList();
        try
        {
            foreach (var socket in waiting)
            {
                socket.Blocking = false;
                Assert.Equal(SocketError.WouldBlock, Assert.Throws<SocketException>(() => socket.Connect(silent.LocalEndPoint!)).SocketErrorCode);
            }

            await using var host = await FakeHost.StartAsync("alive");
            await using var gateway = await RunningGateway.StartAsync([new Uri($"http://{silent.LocalEndPoint}"), host.Address], "--Gateway:RankTimeoutMs", "25000");
            var answers = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => gateway.RankAsync()));
            Assert.All(answers, answer => Assert.Equal((200, "alive"), (answer.Status, answer.Host)));
        }
        finally
        {
            waiting.ForEach(socket => socket.Dispose());
        }
    }
}
