using System.Globalization;
using System.Text.Json.Nodes;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Ranking;

public sealed class RankEndpointTests(SharedHost shared) : IClassFixture<SharedHost>
{
    private readonly RunningHost _host = shared.Host;

    private static string All => string.Join(',', Enumerable.Range(1, 50).Select(i => $"\"i{i:00}\""));

    [Fact]
    public async Task Ranking_that_starts_after_an_event_was_acknowledged_sees_it()
    {
        var rank = $$"""{"user":"reader","items":[{{All}}],"context":{"timestamp":1800000000} }""";
        var before = Scores(await _host.PostAsync("/v1/rank", rank));
        for (var i = 1; i <= 20; i++)
        {
            var told = await _host.PostAsync("/v1/events", string.Create(CultureInfo.InvariantCulture, $$"""{"event_id":"ryw{{i}}","type":"click","user":"reader","item":"i{{i:00}}","timestamp":{{1_700_000_000 + i}}}"""));
            Assert.Equal(1, (int)told.Json["accepted"]!);
            var after = Scores(await _host.PostAsync("/v1/rank", rank));
            Assert.NotEqual(before, after);
            before = after;
        }
    }

    [Fact]
    public async Task New_item_with_text_alone_is_ranked_by_the_model_at_once()
    {
        Assert.Equal(200, (await _host.PutAsync("/v1/items/brand-new", """{"title":"Snow in the desert","text":"two brothers remember the stars."}""")).Status);
        var answer = await _host.PostAsync("/v1/rank", """{"user":"u","items":["brand-new","i01"]}""");
        Assert.Equal("model", (string)answer.Json["mode"]!);
        Assert.Null((string?)answer.Json["reason"]);
        Assert.Equal(["brand-new", "i01"], answer.Ids.Order());
        var item = answer.Json["items"]!.AsArray().Single(ranked => (string)ranked!["id"]! == "brand-new")!;
        Assert.True((bool)item["cold"]!);
        Assert.InRange((float)item["score"]!, 0f, 1f);

        await _host.PutAsync("/v1/items/brand-new", """{"title":"An entirely different thing","text":"a comedy about cooks."}""");
        Assert.NotEqual((float)item["score"]!, Scores(await _host.PostAsync("/v1/rank", """{"user":"u","items":["brand-new"]}"""))["brand-new"]);
    }

    [Fact]
    public async Task Items_come_by_falling_score_and_limit_keeps_the_best()
    {
        var all = await _host.PostAsync("/v1/rank", $$"""{"user":"u","items":[{{All}}],"context":{"timestamp":1800000000} }""");
        var scores = all.Json["items"]!.AsArray().Select(item => (float)item!["score"]!).ToList();
        Assert.Equal(50, scores.Count);
        Assert.Equal(scores.OrderDescending(), scores);
        var best = await _host.PostAsync("/v1/rank", $$"""{"limit":3,"user":"u","items":[{{All}}],"context":{"timestamp":1800000000} }""");
        Assert.Equal(all.Ids.Take(3), best.Ids);
    }

    [Fact]
    public async Task Explanation_tells_statistics_and_stages_and_is_absent_unasked()
    {
        var plain = await _host.PostAsync("/v1/rank", """{"user":"u","items":["i01"]}""");
        Assert.False(plain.Json.ContainsKey("stages_us"));
        Assert.False(plain.Json["items"]![0]!.AsObject().ContainsKey("features"));
        var answer = await _host.PostAsync("/v1/rank", """{"user":"u","items":["i01"],"explain":true}""");
        var features = answer.Json["items"]![0]!["features"]!.AsObject();
        Assert.Equal(["impressions", "click_rate", "age"], features.Select(feature => feature.Key));
        Assert.InRange((float)features["click_rate"]!, 0.01f, 1f);
        Assert.Equal(["wait", "user_read", "gather", "run", "total"], answer.Json["stages_us"]!.AsObject().Select(stage => stage.Key));
    }

    [Fact]
    public async Task Request_id_is_the_bodys_or_the_headers_or_a_new_one_that_sorts_by_time()
    {
        Assert.Equal("my \"id\"", (string)(await RankAsync(""","request_id":"my \"id\"" """, "header")).Json["request_id"]!);
        Assert.Equal("header", (string)(await RankAsync("", "header")).Json["request_id"]!);
        var made = (string)(await RankAsync(""","request_id":null""", null)).Json["request_id"]!;
        await Task.Delay(5);
        var later = (string)(await RankAsync("", null)).Json["request_id"]!;
        Assert.Equal(16, made.Length);
        Assert.True(string.CompareOrdinal(made, later) < 0, $"{made} {later}");
    }

    [Fact]
    public async Task Ids_of_any_form_come_back_as_they_were()
    {
        string[] ids = ["a/b", "a%2Fb", "quote\"s", "back\\slash", "späße", "日本語", "😀", "?query#part", " ", "x".PadRight(128, 'y')];
        foreach (var id in ids)
        {
            var stored = await _host.PutAsync($"/v1/items/{Uri.EscapeDataString(id)}", """{"title":"x"}""");
            Assert.True(stored.Status == 200, $"{id}: {stored.Text}");
            Assert.Equal(id, (string)(await _host.GetAsync($"/v1/items/{Uri.EscapeDataString(id)}")).Json["id"]!);
        }

        var answer = await _host.PostAsync("/v1/rank", $$"""{"user":"u","items":{{new JsonArray([.. ids.Select(id => (JsonNode)id)]).ToJsonString()}} }""");
        Assert.Equal(ids.Order(StringComparer.Ordinal), answer.Ids.Order(StringComparer.Ordinal));
        Assert.Equal(204, (await _host.SendAsync(HttpMethod.Delete, "/v1/items/a%2Fb")).Status);
        Assert.Equal(200, (await _host.GetAsync("/v1/items/a%252Fb")).Status);
        Assert.Equal(404, (await _host.GetAsync("/v1/items/a%2Fb")).Status);
    }

    [Fact]
    public async Task Deadline_that_has_passed_is_answered_by_the_fallback()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/rank") { Content = new StringContent($$"""{"user":"u","items":[{{All}}]}""") };
        request.Headers.Add("Request-Timeout-Ms", "0");
        using var response = await _host.Client.SendAsync(request);
        var json = JsonNode.Parse(await response.Content.ReadAsStringAsync())!;
        Assert.Equal("fallback", (string)json["mode"]!);
        Assert.Equal("deadline_exceeded", (string)json["reason"]!);
        Assert.Equal(50, json["items"]!.AsArray().Count);
    }

    [Fact]
    public async Task Without_a_bundle_the_fallback_answers_and_says_so()
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Bundle = false });
        var answer = await host.PostAsync("/v1/rank", """{"user":"u","items":["i01","i02"]}""");
        Assert.Equal("fallback", (string)answer.Json["mode"]!);
        Assert.Equal("no_model", (string)answer.Json["reason"]!);
        Assert.True(answer.Json.ContainsKey("model"));
        Assert.Equal(2, answer.Ids.Count);
    }

    [Fact]
    public async Task Model_that_is_not_loaded_gets_404() =>
        (await _host.PostAsync("/v1/rank", """{"user":"u","items":["i01"],"model":"nope-1"}""")).IsProblem(404, "bundle_unknown");

    private static SortedDictionary<string, float> Scores(Answer answer) =>
        new(answer.Json["items"]!.AsArray().ToDictionary(item => (string)item!["id"]!, item => (float)item!["score"]!), StringComparer.Ordinal);

    private async Task<Answer> RankAsync(string more, string? header)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/rank") { Content = new StringContent($$"""{"user":"u","items":["i01"]{{more}}}""") };
        if (header is not null)
        {
            request.Headers.Add("X-Request-Id", header);
        }

        using var response = await _host.Client.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        return new Answer((int)response.StatusCode, JsonNode.Parse(text)!.AsObject(), null, text);
    }
}
