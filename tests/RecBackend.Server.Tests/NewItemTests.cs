using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Server.Tests;

/// <summary>What the demo promises: the model of <c>samples/movielens</c> on its own movies.</summary>
public sealed class NewItemTests
{
    private static readonly string Demo = Path.Combine(Checkout.Root, "samples", "movielens");

    [Fact]
    public async Task New_item_with_text_alone_is_ranked_at_once_and_by_taste()
    {
        using var state = new StateFolder();
        await using var server = await ChildProcess.Server(state.Path, "--RecBackend:Bundle", Path.Combine(Demo, "bundle")).ReadyAsync();
        var lines = await File.ReadAllLinesAsync(Path.Combine(Demo, "items.jsonl"));
        await PostAsync(server, "/v1/items/batch", string.Join('\n', lines), "application/x-ndjson");
        var movies = lines.Select(line => JsonNode.Parse(line)!).ToList();
        await ClickAsync(server, "family", movies.Where(movie => Has(movie, "Animation") && Has(movie, "Children")));
        await ClickAsync(server, "dread", movies.Where(movie => Has(movie, "Horror")));

        await PutAsync(server, "new-family", "The Little Dragon of Rainbow Valley",
            "An animated family film about a young dragon and a talking rabbit who set out on a magical musical adventure to save their enchanted forest. A fun story for children.");
        await PutAsync(server, "new-dread", "Blood Cellar",
            "A horror film in which a group of teenagers are stalked by a masked killer in an abandoned house haunted by evil spirits. A gory slasher full of murder, zombies and terror.");

        var family = await PreferenceAsync(server, "family");
        var dread = await PreferenceAsync(server, "dread");
        Assert.True(family > dread, $"The log odds of the family film over the horror film are {family} for who likes family films and {dread} for who likes horror.");
    }

    /// <summary>Log odds of the new family film minus those of the new horror film.</summary>
    private static async Task<double> PreferenceAsync(ChildProcess server, string user)
    {
        var ranking = await PostAsync(server, "/v1/rank", $$"""{"user":"{{user}}","items":["new-family","new-dread"]}""", "application/json");
        Assert.Equal("model", (string)ranking["mode"]!);
        Assert.Empty(ranking["unknown"]!.AsArray());
        Assert.All(ranking["items"]!.AsArray(), item => Assert.True((bool)item!["cold"]!));
        var odds = ranking["items"]!.AsArray().ToDictionary(item => (string)item!["id"]!, item => Math.Log((double)item!["score"]! / (1 - (double)item["score"]!)));
        return odds["new-family"] - odds["new-dread"];
    }

    private static bool Has(JsonNode movie, string category) => movie["categories"]?.AsArray().Any(name => (string)name! == category) == true;

    private static Task<JsonNode> ClickAsync(ChildProcess server, string user, IEnumerable<JsonNode> movies)
    {
        var start = DateTimeOffset.UtcNow.AddDays(-1).ToUnixTimeSeconds();
        var events = movies.Take(30).SelectMany((movie, place) => new[] { "impression", "click" }.Select(type =>
            $$"""{"event_id":"{{user}}-{{place}}-{{type}}","type":"{{type}}","user":"{{user}}","item":"{{movie["id"]}}","timestamp":{{start + (60 * place)}} }"""));
        return PostAsync(server, "/v1/events", string.Join('\n', events), "application/x-ndjson");
    }

    private static async Task PutAsync(ChildProcess server, string id, string title, string text)
    {
        using var content = new StringContent(new JsonObject { ["title"] = title, ["text"] = text }.ToJsonString(), Encoding.UTF8, "application/json");
        using var response = await server.Client.PutAsync($"/v1/items/{id}", content);
        Assert.True(response.IsSuccessStatusCode, await response.Content.ReadAsStringAsync());
    }

    private static async Task<JsonNode> PostAsync(ChildProcess server, string path, string body, string type)
    {
        using var content = new StringContent(body, Encoding.UTF8, type);
        content.Headers.Add("Request-Timeout-Ms", "30000"); // a slow moment of the machine must not bring the fallback in
        using var response = await server.Client.PostAsync(path, content);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        return JsonNode.Parse(text)!;
    }
}
