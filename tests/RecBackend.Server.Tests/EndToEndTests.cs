using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Server.Tests;

public sealed class EndToEndTests
{
    [Fact]
    public async Task Gateway_and_server_rank_over_sockets_and_a_restart_changes_nothing()
    {
        using var state = new StateFolder();
        await using var server = await ChildProcess.Server(state.Path).ReadyAsync();
        await using var gateway = await ChildProcess.Gateway(server.Address).ReadyAsync();
        await gateway.LoadItemsAsync();
        var items = new JsonArray([.. Enumerable.Range(1, 50).Select(i => (JsonNode)$"i{i:00}")]).ToJsonString();
        var body = $$"""{"user":"u1","items":{{items}},"context":{"timestamp":1800000000} }""";
        var ranking = await RankAsync(gateway, body);
        Assert.Equal("model", (string)ranking["mode"]!);
        Assert.Equal(50, ranking["items"]!.AsArray().Count);

        await server.StopAsync();
        await using var again = await ChildProcess.Server(server.Address, state.Path).ReadyAsync();
        await gateway.ReadyAsync();
        Assert.Equal(ranking["items"]!.ToJsonString(), (await RankAsync(gateway, body))["items"]!.ToJsonString());
    }

    private static async Task<JsonNode> RankAsync(ChildProcess gateway, string body)
    {
        using var content = new StringContent(body, Encoding.UTF8, "application/json");
        content.Headers.Add("Request-Timeout-Ms", "30000"); // a slow moment of the machine must not bring the fallback in
        using var response = await gateway.Client.PostAsync("/v1/rank", content);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        return JsonNode.Parse(text)!;
    }
}

internal static class TinyCatalogue
{
    public static async Task LoadItemsAsync(this ChildProcess host)
    {
        using var content = new StringContent(await File.ReadAllTextAsync(Checkout.TinyData("items.jsonl")), Encoding.UTF8, "application/x-ndjson");
        using var response = await host.Client.PostAsync("/v1/items/batch", content);
        Assert.Equal(50, (int)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["accepted"]!);
    }
}
