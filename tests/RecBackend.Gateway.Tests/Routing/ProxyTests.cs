using System.Net;
using Microsoft.AspNetCore.Http;
using RecBackend.Gateway.Tests.Hosting;

namespace RecBackend.Gateway.Tests.Routing;

public sealed class ProxyTests
{
    [Fact]
    public async Task Path_arrives_as_it_was_written()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address]);
        string[] targets = ["/v1/items/a%2Fb", "/v1/items/a%252Fb", "/v1/items/%C3%A9%20%22", "/v1/models/v-1/activate?wait=true&x=%26", "/v1/jobs/7", "/v1/cluster"];
        foreach (var target in targets)
        {
            var answer = await gateway.SendAsync(target.Contains("activate", StringComparison.Ordinal) ? HttpMethod.Post : HttpMethod.Get, target);
            Assert.True(answer.Status == 200, $"{target}: {answer.Text}");
        }

        Assert.Equal(targets, host.Seen.Select(seen => seen.Target));
    }

    [Fact]
    public async Task Request_id_and_trace_headers_reach_the_host_and_the_id_comes_back()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address]);
        const string Trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        var given = await gateway.SendAsync(HttpMethod.Post, "/v1/rank", new StringContent("{}"), request =>
        {
            request.Headers.Add("X-Request-Id", "mine-1");
            request.Headers.Add("traceparent", $"00-{Trace}-00f067aa0ba902b7-01");
            request.Headers.Add("tracestate", "vendor=1");
        });
        var made = await gateway.RankAsync();

        Assert.Equal("mine-1", given.RequestId);
        Assert.Equal(16, made.RequestId.Length);
        var seen = host.Seen.ToList();
        Assert.Equal(["mine-1", made.RequestId], seen.Select(call => call.Headers["X-Request-Id"].ToString()));
        Assert.Contains(Trace, seen[0].Headers["traceparent"].ToString(), StringComparison.Ordinal);
        Assert.Equal("vendor=1", seen[0].Headers["tracestate"].ToString());
    }

    [Fact]
    public async Task Body_larger_than_the_route_takes_gets_413()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address], "--RecBackend:Limits:RankBody", "1000");
        Assert.Equal(200, (await gateway.SendAsync(HttpMethod.Post, "/v1/rank", new ByteArrayContent(new byte[1000]))).Status);
        var refused = await gateway.SendAsync(HttpMethod.Post, "/v1/rank", new ByteArrayContent(new byte[1001]));
        Assert.Equal(413, refused.Status);
        Assert.Contains("body_too_large", refused.Text, StringComparison.Ordinal);
        Assert.Equal(200, (await gateway.SendAsync(HttpMethod.Post, "/v1/events", new ByteArrayContent(new byte[3_000_000]))).Status);
        Assert.Equal(3_000_000, host.Seen.Last().Body);
    }

    [Fact]
    public async Task Ranking_that_takes_too_long_gets_504_and_more_than_the_limit_at_once_429()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address], "--Gateway:RankTimeoutMs", "1500", "--RecBackend:Limits:ConcurrentRankings", "1");
        var entered = new TaskCompletionSource();
        host.Answer = context =>
        {
            entered.TrySetResult();
            return Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
        };
        var held = gateway.RankAsync();
        await entered.Task.WaitAsync(TimeSpan.FromSeconds(20));
        var refused = await gateway.RankAsync();
        Assert.Equal(429, refused.Status);
        Assert.Contains("overloaded", refused.Text, StringComparison.Ordinal);
        var late = await held;
        Assert.Equal(504, late.Status);
        Assert.Contains("upstream_timeout", late.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Call_that_the_api_does_not_have_ends_at_the_gateway()
    {
        await using var host = await FakeHost.StartAsync("a");
        await using var gateway = await RunningGateway.StartAsync([host.Address]);
        Assert.Contains("route_unknown", (await gateway.SendAsync(HttpMethod.Get, "/v1/nothing")).Text, StringComparison.Ordinal);
        Assert.Contains("method_not_allowed", (await gateway.SendAsync(HttpMethod.Get, "/v1/rank")).Text, StringComparison.Ordinal);
        Assert.Empty(host.Seen);
    }

    [Fact]
    public async Task Refused_connection_is_retried_on_another_host()
    {
        await using var host = await FakeHost.StartAsync("alive");
        var gone = await FakeHost.StartAsync("gone");
        var address = gone.Address;
        await gone.DisposeAsync();
        await using var gateway = await RunningGateway.StartAsync([address, host.Address]);
        for (var i = 0; i < 40; i++)
        {
            var answer = await gateway.RankAsync();
            Assert.Equal((200, "alive"), (answer.Status, answer.Host));
        }

        Assert.All(host.Seen, seen => Assert.Equal(2, seen.Body));
    }

    [Fact]
    public async Task Without_a_host_that_answers_the_caller_gets_502_and_when_to_come_back()
    {
        var gone = await FakeHost.StartAsync("gone");
        await gone.DisposeAsync();
        await using var gateway = await RunningGateway.StartAsync([gone.Address]);
        using var response = await gateway.Client.PostAsync("/v1/rank", new StringContent("{}"));
        Assert.Equal(HttpStatusCode.BadGateway, response.StatusCode);
        Assert.NotNull(response.Headers.RetryAfter);
        Assert.Contains("upstream_unavailable", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Changed_hosts_take_over_without_a_failed_request()
    {
        await using var first = await FakeHost.StartAsync("first");
        await using var second = await FakeHost.StartAsync("second");
        Func<HttpContext, Task> slow = context => Task.Delay(5, context.RequestAborted);
        (first.Answer, second.Answer) = (slow, slow);
        await using var gateway = await RunningGateway.StartAsync([first.Address]);
        using var stop = new CancellationTokenSource();
        var (answered, failed) = (0, 0);
        var callers = Enumerable.Range(0, 8).Select(async _ =>
        {
            while (!stop.IsCancellationRequested)
            {
                var answer = await gateway.RankAsync();
                Interlocked.Increment(ref answer.Status == 200 ? ref answered : ref failed);
            }
        }).ToList();

        for (var change = 0; change < 20; change++)
        {
            await Task.Delay(20);
            gateway.Configure(("Gateway:Destinations:0", (change % 2 == 0 ? second : first).Address.ToString()));
            if (change == 10)
            {
                // Nonsense is not taken, and takes nobody down.
                gateway.Configure(("Gateway:Destinations:0", "no url"));
            }
        }

        gateway.Configure(("Gateway:Destinations:0", second.Address.ToString()));
        for (var i = 0; i < 200 && (await gateway.RankAsync()).Host != "second"; i++)
        {
            await Task.Delay(10);
        }

        await stop.CancelAsync();
        await Task.WhenAll(callers);
        Assert.Equal(0, failed);
        Assert.True(answered > 20, $"{answered} answers are no load");
        Assert.NotEmpty(first.Seen);
        Assert.Equal("second", (await gateway.RankAsync()).Host);
    }
}
