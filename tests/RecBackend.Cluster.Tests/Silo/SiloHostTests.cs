using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Cli.Up;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Cluster.Tests.Silo;

[Collection(BackingCollection.Name)]
public sealed class SiloHostTests(Backing backing)
{
    [Fact]
    public async Task Entity_silo_stores_and_scoring_silo_ranks()
    {
        using var entityState = new StateFolder();
        using var scoringState = new StateFolder();
        var name = $"t{Guid.NewGuid():n}";
        await using var entity = await SiloProcess.Start(backing, name, entityState.Path, "entity").ReadyAsync();
        await using var scoring = SiloProcess.Start(backing, name, scoringState.Path, "scoring");
        await TinyModel.ActivateAsync(scoring);
        await scoring.ReadyAsync();
        await TinyModel.LoadItemsAsync(scoring);

        // The user lives on the entity silo, and is read on both.
        var accepted = await PostAsync(scoring, "/v1/events", """{"event_id":"e1","type":"click","user":"u","item":"i01","timestamp":1700000000}""");
        Assert.Equal(1, (int)accepted["accepted"]!);
        var ranking = await PostAsync(scoring, "/v1/rank", """{"user":"u","items":["i01","i02","nothing"],"context":{}}""");
        Assert.Equal("model", (string)ranking["mode"]!);
        Assert.Equal(2, ranking["items"]!.AsArray().Count);
        Assert.Equal("""["nothing"]""", ranking["unknown"]!.ToJsonString());
        Assert.Equal(HttpStatusCode.OK, (await entity.Client.GetAsync("/v1/users/u")).StatusCode);

        using var refused = await entity.Client.PostAsync("/v1/rank", Json("""{"user":"u","items":["i01"]}"""));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Equal("not_ready", (string)JsonNode.Parse(await refused.Content.ReadAsStringAsync())!["code"]!);

        foreach (var host in new[] { entity, scoring })
        {
            var silos = JsonNode.Parse(await host.Client.GetStringAsync("/v1/cluster"))!["silos"]!.AsArray().ToDictionary(silo => (string)silo!["address"]!, silo => silo!);
            Assert.Equal(2, silos.Count);
            var (first, second) = (silos[Text(entity.Address)], silos[Text(scoring.Address)]);
            Assert.Equal("""["entity"]""", first["roles"]!.ToJsonString());
            Assert.True((bool)first["ready"]!);
            Assert.Equal("""["scoring"]""", second["roles"]!.ToJsonString());
            Assert.True((bool)second["ready"]!);
            Assert.Equal((50, 0), ((int)second["items"]!, (int)second["lag"]!));
            Assert.Equal((4, 0), ((int)first["shards"]!, (int)second["shards"]!));
        }

        Assert.Equal(0, await scoring.StopAsync());
        Assert.Equal(0, await entity.StopAsync());
    }

    [Fact]
    public async Task Redis_that_is_not_there_ends_the_start_with_one_line()
    {
        using var state = new StateFolder();
        await using var silo = ChildProcess.Start(Checkout.Silo, address =>
        [
            "--RecBackend:State", state.Path, "--RecBackend:Development", "true",
            "--RecBackend:Cluster:Redis", $"127.0.0.1:{Loopback.FreePort()}",
            "--RecBackend:Cluster:AdvertisedAddress", "127.0.0.1",
            "--RecBackend:Cluster:Address", address.ToString(),
            "--RecBackend:Cluster:Blobs:ConnectionString", backing.BlobsConnection,
        ]);
        Assert.Equal(1, await silo.ExitAsync());
        Assert.Contains("recbackend-silo: ", silo.Output, StringComparison.Ordinal);
        Assert.Contains("Redis", silo.Output, StringComparison.OrdinalIgnoreCase);
    }

    private static async Task<JsonNode> PostAsync(ChildProcess host, string path, string body)
    {
        using var response = await host.Client.PostAsync(path, Json(body));
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, $"{path}: {(int)response.StatusCode} {text}");
        return JsonNode.Parse(text)!;
    }

    private static StringContent Json(string body) => new(body, Encoding.UTF8, "application/json");

    private static string Text(Uri address) => address.ToString().TrimEnd('/');
}
