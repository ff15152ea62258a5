using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Server.Tests.Hosting;
using Xunit.Abstractions;

namespace RecBackend.Cluster.Tests.Faults;

/// <summary>What is promised of a cluster under load of which silos are killed, paused, and started anew.</summary>
[Collection(BackingCollection.Name)]
public sealed class FaultTests(Backing backing, ITestOutputHelper output)
{
    private const int Silos = 3;
    private const int EventsBetween = 1_000;

    /// <summary>How long callers may notice that a silo was killed.</summary>
    private static readonly TimeSpan Noticed = TimeSpan.FromSeconds(5);

    /// <summary>How long a ranking may have been under way when its silo was killed.</summary>
    private static readonly TimeSpan UnderWay = TimeSpan.FromSeconds(2);

    [Fact]
    public async Task Every_acknowledged_event_counts_once_whichever_silo_is_killed()
    {
        await using var cluster = await LoadedCluster.StartAsync(backing, Silos);
        var kills = new List<long>();
        for (var victim = 0; victim < Silos; victim++)
        {
            await cluster.AcknowledgeAsync(EventsBetween);
            kills.Add(Stopwatch.GetTimestamp());
            await cluster.Silos[victim].KillAsync();
            await cluster.AcknowledgeAsync(EventsBetween);
            await cluster.StartSiloAsync(victim);
        }

        await cluster.AcknowledgeAsync(EventsBetween);
        await cluster.StopLoadAsync();
        Tell(cluster);
        Assert.InRange(cluster.Failures.Count, 0, cluster.Rankings / 1_000);
        AssertRankedByModel(cluster);
        Assert.All(cluster.Failures, failure => Assert.True(kills.Exists(kill => Stopwatch.GetElapsedTime(kill, failure.Sent) is var after && after > -UnderWay && after < Noticed), failure.What));
        await cluster.AssertCountsAsync();
        await cluster.AssertConvergedAsync();
    }

    [Fact]
    public async Task Rolling_restart_fails_no_call()
    {
        await using var cluster = await LoadedCluster.StartAsync(backing, Silos);
        for (var silo = 0; silo < Silos; silo++)
        {
            await cluster.AcknowledgeAsync(EventsBetween);
            Assert.Equal(0, await cluster.Silos[silo].StopAsync());
            await cluster.StartSiloAsync(silo);
        }

        await cluster.AcknowledgeAsync(EventsBetween);
        await cluster.StopLoadAsync();
        Tell(cluster);
        Assert.Empty(cluster.Failures);
        Assert.Equal(0, cluster.Resent);
        AssertRankedByModel(cluster);

        // Those that started anew had their rows from one that ranked on.
        Assert.All(cluster.Silos, silo => Assert.Contains("The catalogue was copied from", silo.Output));
        await cluster.AssertCountsAsync();
        await cluster.AssertConvergedAsync();
    }

    [Fact]
    public async Task Catalogues_converge_whichever_silo_is_killed_during_ten_thousand_updates()
    {
        await using var cluster = await LoadedCluster.StartAsync(backing, Silos);
        for (var victim = 0; victim < Silos; victim++)
        {
            var killed = victim;
            var updates = Task.WhenAll(Enumerable.Range(0, 4).Select(writer => Task.Run(() => UpdateAsync(cluster.Gateway, writer, round: killed))));
            await cluster.AcknowledgeAsync(20);
            Assert.False(updates.IsCompleted, "All updates were over before the kill.");
            await cluster.Silos[victim].KillAsync();
            await updates;
            await cluster.StartSiloAsync(victim);
            await cluster.AcknowledgeAsync(1);
        }

        await cluster.StopLoadAsync();
        Tell(cluster);
        await cluster.AssertConvergedAsync();
        foreach (var silo in cluster.Silos)
        {
            Assert.Equal("u-3-0 of 2", (string)(await LoadedCluster.GetAsync(silo, "/v1/items/u-3-0"))["title"]!);
        }

        await cluster.AssertCountsAsync();
    }

    [Fact]
    public async Task Silo_that_stood_still_and_goes_on_loses_and_doubles_nothing()
    {
        await using var cluster = await LoadedCluster.StartAsync(backing, Silos);
        await cluster.AcknowledgeAsync(EventsBetween);
        await cluster.Silos[1].PauseAsync();

        // Until the others have given it up, and have taken over what it held.
        await MembersAsync(cluster.Silos[0], Silos - 1);
        await cluster.AcknowledgeAsync(EventsBetween);
        await cluster.Silos[1].ResumeAsync();
        await cluster.AcknowledgeAsync(EventsBetween);
        await cluster.StopLoadAsync();
        Tell(cluster);

        // A silo that learns that it was given up ends itself: it is to be started again.
        await cluster.StartSiloAsync(1);
        await cluster.AssertCountsAsync();
        await cluster.AssertConvergedAsync();
    }

    [Fact]
    public async Task Cluster_of_which_every_silo_was_killed_comes_back_from_blobs()
    {
        await using var cluster = await LoadedCluster.StartAsync(backing, Silos);
        await cluster.AcknowledgeAsync(EventsBetween);
        await cluster.StopLoadAsync();
        await Task.WhenAll(cluster.Silos.Select(silo => silo.KillAsync()));
        await Task.WhenAll(Enumerable.Range(0, Silos).Select(silo => cluster.StartSiloAsync(silo)));

        // Ready: the model is back. Users, their events, and what these counted: asked of each silo.
        await cluster.AssertCountsAsync();
        await cluster.AssertConvergedAsync();
    }

    /// <summary>Writes 2,500 items in small batches, each again until it is taken.</summary>
    private static async Task UpdateAsync(HttpClient gateway, int writer, int round)
    {
        const int Batch = 25;
        for (var begin = 0; begin < 2_500; begin += Batch)
        {
            var lines = string.Join('\n', Enumerable.Range(begin, Batch).Select(i =>
                string.Create(CultureInfo.InvariantCulture, $$"""{"id":"u-{{writer}}-{{i % 500}}","title":"u-{{writer}}-{{i % 500}} of {{round}}","text":"written {{i}}"}""")));
            for (var tries = 0; ; tries++)
            {
                Assert.InRange(tries, 0, 300);
                try
                {
                    using var response = await gateway.PostAsync("/v1/items/batch", LoadedCluster.Json(lines, "application/x-ndjson"));
                    if (response.IsSuccessStatusCode)
                    {
                        Assert.Equal(Batch, (int)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["accepted"]!);
                        break;
                    }
                }
                catch (HttpRequestException)
                {
                    // A connection that the gateway broke off with the silo.
                }

                await Task.Delay(100);
            }
        }
    }

    private static async Task MembersAsync(ChildProcess silo, int count)
    {
        var members = -1;
        for (var tries = 0; tries < 300 && members != count; tries++)
        {
            await Task.Delay(100);
            members = (await LoadedCluster.GetAsync(silo, "/v1/cluster"))["silos"]!.AsArray().Count;
        }

        Assert.Equal(count, members);
    }

    /// <summary>The fallback is for the users of a silo that has just gone, and not for ever.</summary>
    private static void AssertRankedByModel(LoadedCluster cluster) => Assert.InRange(cluster.Fallbacks.Count, 0, cluster.Rankings / 100);

    private void Tell(LoadedCluster cluster) => output.WriteLine(
        $"{cluster.Acknowledged} events acknowledged, {cluster.Resent} calls sent again; {cluster.Rankings} rankings, {cluster.Fallbacks.Count} by the fallback, "
        + $"{cluster.Failures.Count} failed: {string.Join("; ", cluster.Failures.Select(failure => failure.What).Distinct().Take(5))}");
}
