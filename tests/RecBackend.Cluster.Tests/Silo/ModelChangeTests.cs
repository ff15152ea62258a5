using System.Net;
using System.Text.Json.Nodes;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Cluster.Tests.Silo;

[Collection(BackingCollection.Name)]
public sealed class ModelChangeTests(Backing backing)
{
    [Fact]
    public async Task Activation_and_rollback_reach_every_scoring_silo_and_those_that_join_later()
    {
        using var states = new StateFolder();
        var name = $"t{Guid.NewGuid():n}";
        await using var first = SiloProcess.Start(backing, name, Path.Combine(states.Path, "1"));
        await using var second = SiloProcess.Start(backing, name, Path.Combine(states.Path, "2"), "scoring");
        await TinyModel.ListeningAsync(second);
        await TinyModel.ActivateAsync(first, "one");
        await second.ReadyAsync();
        Assert.Equal(("one", null), await VersionsAsync(second));

        await TinyModel.LoadItemsAsync(second);
        await TinyModel.ActivateAsync(second, "two");
        Assert.Equal(("two", "one"), await VersionsAsync(first));
        Assert.Equal(["one", "two"], await ListAsync(first));

        await using var late = await SiloProcess.Start(backing, name, Path.Combine(states.Path, "3"), "scoring").ReadyAsync();
        Assert.Equal(("two", "one"), await VersionsAsync(late));

        using var rolledBack = await late.Client.PostAsync("/v1/models/two/rollback?wait=true", null);
        Assert.True(rolledBack.IsSuccessStatusCode, await rolledBack.Content.ReadAsStringAsync());
        foreach (var silo in new[] { first, second, late })
        {
            Assert.Equal(("one", "two"), await VersionsAsync(silo));
        }
    }

    [Fact]
    public async Task Bundle_that_one_silo_cannot_load_is_activated_nowhere()
    {
        using var states = new StateFolder();
        var name = $"t{Guid.NewGuid():n}";
        await using var first = SiloProcess.Start(backing, name, Path.Combine(states.Path, "1"));
        await using var second = SiloProcess.Start(backing, name, Path.Combine(states.Path, "2"), "scoring");
        await TinyModel.ListeningAsync(second);
        await TinyModel.ActivateAsync(first, "good");
        await TinyModel.PushAsync(first, TinyModel.Pack("damaged"));
        await File.WriteAllTextAsync(Path.Combine(states.Path, "2", "bundles", "damaged", "ranker.onnx"), "a disk has failed here");

        using var refused = await first.Client.PostAsync("/v1/models/damaged/activate?wait=true", null);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.StatusCode);
        var problem = JsonNode.Parse(await refused.Content.ReadAsStringAsync())!;
        var silos = JsonNode.Parse(await first.Client.GetStringAsync("/v1/cluster"))!["silos"]!.AsArray();
        var failed = silos.Single(silo => (string)silo!["address"]! == second.Address.ToString().TrimEnd('/'))!;
        Assert.StartsWith($"{(string)failed["name"]!}: ", (string)problem["detail"]!, StringComparison.Ordinal);
        foreach (var silo in new[] { first, second })
        {
            Assert.Equal(("good", null), await VersionsAsync(silo));
        }

        // Nothing is left half done: the next change goes through.
        await TinyModel.ActivateAsync(second, "better");
        Assert.Equal(("better", "good"), await VersionsAsync(first));
    }

    [Fact]
    public async Task Restart_of_the_whole_cluster_keeps_the_model_though_every_disk_is_new()
    {
        using var states = new StateFolder();
        var name = $"t{Guid.NewGuid():n}";
        await using (var silo = SiloProcess.Start(backing, name, Path.Combine(states.Path, "1")))
        {
            await TinyModel.ActivateAsync(silo, "one");
            await TinyModel.ActivateAsync(silo, "two");
            await TinyModel.LoadItemsAsync(silo);
            Assert.Equal(0, await silo.StopAsync());
        }

        await using var again = await SiloProcess.Start(backing, name, Path.Combine(states.Path, "2")).ReadyAsync();
        Assert.Equal(("two", "one"), await VersionsAsync(again));
        var health = JsonNode.Parse(await again.Client.GetStringAsync("/healthz/ready"))!;
        Assert.Equal(50, (int)health["items"]!);
    }

    private static async Task<(string? Active, string? Previous)> VersionsAsync(ChildProcess silo)
    {
        var models = JsonNode.Parse(await silo.Client.GetStringAsync("/v1/models"))!;
        return ((string?)models["active"], (string?)models["previous"]);
    }

    private static async Task<string[]> ListAsync(ChildProcess silo) =>
        [.. JsonNode.Parse(await silo.Client.GetStringAsync("/v1/models"))!["models"]!.AsArray().Select(model => (string)model!["version"]!).Order()];
}
