using System.Text.Json.Nodes;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Cluster.Tests.Silo;
using RecBackend.Server.Tests.Hosting;
using Xunit.Abstractions;

namespace RecBackend.Cluster.Tests.Models;

/// <summary>The silo that leads a change is killed at some moment of it.</summary>
[Collection(BackingCollection.Name)]
public sealed class LeaderKillTests(Backing backing, ITestOutputHelper output)
{
    private const int Rounds = 3;
    private const int LongestMs = 1_500;

    [Fact]
    public async Task Silos_agree_on_one_model_whenever_the_one_that_leads_a_change_is_killed()
    {
        var seed = Random.Shared.Next();
        var moments = new Random(seed);
        var cluster = $"t{Guid.NewGuid():n}";
        using var states = new StateFolder();
        ChildProcess Start(int silo) => SiloProcess.Start(backing, cluster, Path.Combine(states.Path, $"{silo}"));
        var silos = Enumerable.Range(0, 3).Select(Start).ToList();
        try
        {
            await Task.WhenAll(silos.Select(TinyModel.ListeningAsync));
            await TinyModel.ActivateAsync(silos[0], "0");
            await TinyModel.LoadItemsAsync(silos[0]);
            for (var round = 1; round <= Rounds; round++)
            {
                var (leader, before) = (round % silos.Count, await ActiveAsync(silos[0]));
                await TinyModel.PushAsync(silos[leader], TinyModel.Turned($"{round}-led", round));
                using var begun = await silos[leader].Client.PostAsync($"/v1/models/{round}-led/activate", null);
                Assert.True(begun.IsSuccessStatusCode, await begun.Content.ReadAsStringAsync());
                var moment = moments.Next(LongestMs);
                await Task.Delay(moment);
                await silos[leader].KillAsync();

                // The change is refused for as long as the dead one holds it open, which is seconds.
                var others = silos.Where(silo => silo != silos[leader]).ToList();
                await TinyModel.PushAsync(others[0], TinyModel.Pack($"{round}-next"));
                var refusals = await ActivateAsync(others[0], $"{round}-next");
                var after = await VersionsAsync(others[0]);
                output.WriteLine($"seed {seed}: killed after {moment} ms; rolled back to would be {after.Previous}; the next change was refused {refusals} times");
                Assert.Equal($"{round}-next", after.Active);
                Assert.Contains(after.Previous, new[] { before, $"{round}-led" });
                await HasAsync(others[1], after);

                await silos[leader].DisposeAsync();
                silos[leader] = await Start(leader).ReadyAsync();
                await HasAsync(silos[leader], after);
            }
        }
        finally
        {
            foreach (var silo in silos)
            {
                await silo.DisposeAsync();
            }
        }
    }

    /// <summary>Activates a bundle as soon as it may.</summary>
    /// <returns>How often it was refused before.</returns>
    private static async Task<int> ActivateAsync(ChildProcess silo, string version)
    {
        for (var tries = 0; ; tries++)
        {
            using var activated = await silo.Client.PostAsync($"/v1/models/{version}/activate?wait=true", null);
            if (activated.IsSuccessStatusCode)
            {
                return tries;
            }

            // In progress, or a silo did not answer while it was given up.
            var text = await activated.Content.ReadAsStringAsync();
            Assert.True((int)activated.StatusCode is 409 or 503 && tries < 300, text);
            await Task.Delay(100);
        }
    }

    /// <summary>Waits until a silo has these models: the previous one may be loaded after it is ready, where it missed a change.</summary>
    private static async Task HasAsync(ChildProcess silo, (string? Active, string? Previous) versions)
    {
        Assert.Equal(versions.Active, await ActiveAsync(silo));
        for (var tries = 0; tries < 300 && await VersionsAsync(silo) != versions; tries++)
        {
            await Task.Delay(100);
        }

        Assert.Equal(versions, await VersionsAsync(silo));
    }

    private static async Task<string?> ActiveAsync(ChildProcess silo) => (await VersionsAsync(silo)).Active;

    private static async Task<(string? Active, string? Previous)> VersionsAsync(ChildProcess silo)
    {
        var models = JsonNode.Parse(await silo.Client.GetStringAsync("/v1/models"))!;
        return ((string?)models["active"], (string?)models["previous"]);
    }
}
