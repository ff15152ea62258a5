using RecBackend.Gateway.Tests.Hosting;
using RecBackend.Http.Configuration;

namespace RecBackend.Gateway.Tests.Cluster;

public sealed class FollowTests
{
    [Fact]
    public async Task Silo_that_appears_gets_rankings()
    {
        await using var cluster = new FakeCluster();
        var first = await cluster.JoinAsync("first");
        await using var gateway = await RunningGateway.FollowAsync(first.Address);
        Assert.Equal("first", (await gateway.RankAsync()).Host);
        await cluster.JoinAsync("second");
        await UntilRankedByAsync(gateway, "first", "second");
    }

    [Fact]
    public async Task Silo_that_drains_gets_no_new_requests_and_finishes_its_own()
    {
        await using var cluster = new FakeCluster();
        var going = await cluster.JoinAsync("going");
        var entered = new TaskCompletionSource();
        var release = new TaskCompletionSource();

        // The first request is held; those that come before the news of the drain are not.
        going.Answer = _ => entered.TrySetResult() ? release.Task : Task.CompletedTask;
        await using var gateway = await RunningGateway.FollowAsync(going.Address, "--Gateway:RankTimeoutMs", "60000");
        var held = gateway.RankAsync();
        await entered.Task.WaitAsync(TimeSpan.FromSeconds(30));
        await cluster.JoinAsync("staying");

        // Its probes go on to succeed: it is the cluster's word that takes it out.
        cluster.Drain("going");
        await UntilRankedByAsync(gateway, "staying");
        var before = going.Seen.Count;
        for (var i = 0; i < 50; i++)
        {
            Assert.Equal((200, "staying"), await HostOfAsync(gateway, HttpMethod.Post, "/v1/rank"));
            Assert.Equal((200, "staying"), await HostOfAsync(gateway, HttpMethod.Get, "/v1/users/u"));
        }

        Assert.Equal(before, going.Seen.Count);
        Assert.False(held.IsCompleted);
        release.SetResult();
        var own = await held;
        Assert.Equal((200, "going"), (own.Status, own.Host));
    }

    [Fact]
    public async Task Silo_whose_readiness_says_no_is_left_before_the_cluster_says_so()
    {
        await using var cluster = new FakeCluster();
        var going = await cluster.JoinAsync("going");
        await cluster.JoinAsync("staying");
        await using var gateway = await RunningGateway.FollowAsync(going.Address);
        await UntilRankedByAsync(gateway, "going", "staying");
        going.Ready = false;
        await UntilRankedByAsync(gateway, "staying");
    }

    [Fact]
    public async Task Killed_silo_costs_no_failed_ranking_and_no_failed_write()
    {
        await using var cluster = new FakeCluster();
        foreach (var name in new[] { "a", "b", "c" })
        {
            // Long enough to be killed in, at one of several points.
            (await cluster.JoinAsync(name)).Answer = context => Task.Delay(3, context.RequestAborted);
        }

        await using var gateway = await RunningGateway.FollowAsync(cluster["a"].Address);
        await UntilRankedByAsync(gateway, "a", "b", "c");
        using var stop = new CancellationTokenSource();
        var (answered, failures) = (0, new System.Collections.Concurrent.ConcurrentQueue<string>());
        var callers = Enumerable.Range(0, 8).Select(async caller =>
        {
            while (!stop.IsCancellationRequested)
            {
                var answer = caller % 2 == 0
                    ? await gateway.SendAsync(HttpMethod.Post, "/v1/rank", new StringContent(new string('r', 1_000)))
                    : await gateway.SendAsync(HttpMethod.Post, "/v1/events", new StreamContent(new MemoryStream(new byte[70_000])), request => request.Headers.TransferEncodingChunked = true);
                if (answer.Status == 200)
                {
                    Interlocked.Increment(ref answered);
                }
                else
                {
                    failures.Enqueue($"{answer.Status} {answer.Text}");
                }
            }
        }).ToList();

        await UntilAsync(() => Task.FromResult(Volatile.Read(ref answered) > 100));

        // The one that told of the cluster, and the cluster takes a while to notice.
        var killed = cluster["a"];
        await killed.KillAsync();
        var (left, after) = (Volatile.Read(ref answered), 0);
        await UntilAsync(() => Task.FromResult((after = Volatile.Read(ref answered)) > left + 200));
        cluster.Leave("a");
        await UntilAsync(() => Task.FromResult(Volatile.Read(ref answered) > after + 100));
        await stop.CancelAsync();
        await Task.WhenAll(callers);
        Assert.Empty(failures);
        Assert.All(cluster["b"].Seen.Concat(cluster["c"].Seen).Where(seen => seen.Target == "/v1/rank"), seen => Assert.True(seen.Body is 1_000 or 2, $"{seen.Body} bytes arrived"));
        await killed.DisposeAsync();
    }

    [Fact]
    public async Task If_nobody_tells_of_the_cluster_the_silos_that_were_known_last_stay()
    {
        await using var cluster = new FakeCluster();
        var silos = new[] { await cluster.JoinAsync("a"), await cluster.JoinAsync("b") };
        var told = cluster.Tell();
        var seed = await FakeHost.StartAsync("seed");
        seed.Cluster = () => told;

        // The silos say something else than the cluster: they answer, and it is no answer.
        foreach (var silo in silos)
        {
            silo.Cluster = () => """{"silos":[]}""";
        }

        await using var gateway = await RunningGateway.FollowAsync(seed.Address);
        await seed.DisposeAsync();
        await UntilAsync(() => Task.FromResult(silos.All(silo => silo.Asked.Count > 3)));
        await UntilRankedByAsync(gateway, "a", "b");

        // And they are followed again when somebody tells.
        silos[1].Cluster = () => told.Replace("\"draining\":false", "\"draining\":true", StringComparison.Ordinal).Replace("\"name\":\"b\"", "\"name\":\"b2\"", StringComparison.Ordinal);
        await UntilAsync(async () => (await gateway.SendAsync(HttpMethod.Get, "/healthz/ready")).Text.Contains("\"b2\"", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"silos":null}""")]
    [InlineData("""{"silos":[null]}""")]
    [InlineData("""{"silos":[{"name":"x"}]}""")]
    [InlineData("<html>")]
    public async Task Nonsense_from_a_silo_is_no_cluster(string nonsense)
    {
        await using var cluster = new FakeCluster();
        var silo = await cluster.JoinAsync("a");
        await using var gateway = await RunningGateway.FollowAsync(silo.Address);
        silo.Asked.Clear();
        silo.Cluster = () => nonsense;
        await UntilAsync(() => Task.FromResult(silo.Asked.Count > 3));
        Assert.Equal((200, "a"), await HostOfAsync(gateway, HttpMethod.Post, "/v1/rank"));
    }

    [Fact]
    public async Task What_needs_the_model_goes_to_scoring_silos_and_the_rest_to_all()
    {
        await using var cluster = new FakeCluster();
        await cluster.JoinAsync("entity", "entity");
        await cluster.JoinAsync("scoring", "scoring");
        await cluster.JoinAsync("both", "entity", "scoring");
        await cluster.JoinAsync("other", "something else");
        await using var gateway = await RunningGateway.FollowAsync(cluster["entity"].Address);
        await UntilRankedByAsync(gateway, "both", "scoring");
        var (hosts, jobs) = (new HashSet<string>(), new HashSet<string>());
        for (var i = 0; i < 60; i++)
        {
            await OnScoringAsync(HttpMethod.Post, "/v1/rank");
            await OnScoringAsync(HttpMethod.Post, "/v1/events");
            await OnScoringAsync(HttpMethod.Put, "/v1/items/i");
            await OnScoringAsync(HttpMethod.Post, "/v1/items/batch");
            await OnScoringAsync(HttpMethod.Post, "/v1/embeddings");
            hosts.Add((await HostOfAsync(gateway, HttpMethod.Put, "/v1/users/u")).Host);
            hosts.Add((await HostOfAsync(gateway, HttpMethod.Delete, "/v1/items/i")).Host);

            // A job is known to the silo that runs it.
            jobs.Add((await HostOfAsync(gateway, HttpMethod.Post, "/v1/warm")).Host);
            jobs.Add((await HostOfAsync(gateway, HttpMethod.Get, "/v1/jobs/7")).Host);
        }

        Assert.Equal(["both", "entity", "scoring"], hosts.Order(StringComparer.Ordinal));
        Assert.Equal(["both"], jobs);

        async Task OnScoringAsync(HttpMethod method, string path)
        {
            var (status, host) = await HostOfAsync(gateway, method, path);
            Assert.True(status == 200 && host is "both" or "scoring", $"{method} {path}: {status} {host}");
        }
    }

    [Fact]
    public async Task Silo_that_is_not_ready_gets_requests_only_while_none_is()
    {
        await using var cluster = new FakeCluster();
        await cluster.JoinAsync("a");
        await cluster.JoinAsync("b");
        cluster.SetReady("a", false);
        await using var gateway = await RunningGateway.FollowAsync(cluster["a"].Address);
        await UntilRankedByAsync(gateway, "b");

        // Without a bundle no silo is ready, and the bundle must reach one.
        cluster.SetReady("b", false);
        await UntilRankedByAsync(gateway, "a", "b");
    }

    [Fact]
    public async Task Gateway_asks_with_its_key_and_takes_a_new_one_without_a_restart()
    {
        await using var cluster = new FakeCluster();
        var silo = await cluster.JoinAsync("a");
        await using var gateway = await RunningGateway.FollowAsync(silo.Address, "--RecBackend:Gateway:Cluster:Key", "rb_first");
        Assert.All(silo.Asked, credentials => Assert.Equal("Bearer rb_first", credentials));
        gateway.Configure(("RecBackend:Gateway:Cluster:Key", "rb_second"));
        await UntilAsync(() => Task.FromResult(silo.Asked.Contains("Bearer rb_second")));
    }

    [Theory]
    [InlineData("Seeds:0", "nowhere")]
    [InlineData("PollMs", "0")]
    [InlineData("Sedes:0", "http://127.0.0.1:1")]
    public void Wrong_setting_ends_the_start_and_is_named(string key, string value)
    {
        var refusal = Assert.Throws<ConfigurationException>(() => GatewayHost.Build(
            ["--RecBackend:Gateway:Cluster:Seeds:1", "http://127.0.0.1:1", $"--RecBackend:Gateway:Cluster:{key}", value]));
        Assert.StartsWith($"RecBackend:Gateway:Cluster:{key.Split(':')[0]}", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Fixed_hosts_beside_a_cluster_are_refused() => Assert.Contains("not both", Assert.Throws<ConfigurationException>(() => GatewayHost.Build(
        ["--RecBackend:Gateway:Cluster:Seeds:0", "http://127.0.0.1:1", "--Gateway:Destinations:0", "http://127.0.0.1:2"])).Message, StringComparison.Ordinal);

    private static async Task<(int Status, string Host)> HostOfAsync(RunningGateway gateway, HttpMethod method, string path)
    {
        var answer = await gateway.SendAsync(method, path, method == HttpMethod.Get || method == HttpMethod.Delete ? null : new StringContent("{}"));
        return (answer.Status, answer.Host);
    }

    /// <summary>Waits until a run of rankings is answered by all of <paramref name="hosts"/>, and by no other.</summary>
    private static Task UntilRankedByAsync(RunningGateway gateway, params string[] hosts) => UntilAsync(async () =>
    {
        var seen = new HashSet<string>();
        for (var i = 0; i < 30; i++)
        {
            seen.Add((await gateway.RankAsync()).Host);
        }

        return seen.SetEquals(hosts);
    });

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (var i = 0; i < 600; i++)
        {
            if (await condition())
            {
                return;
            }

            await Task.Delay(50);
        }

        Assert.Fail("It did not come to be in 600 tries.");
    }
}
