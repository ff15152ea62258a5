using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Events;

public sealed class EventsEndpointTests(SharedHost shared) : IClassFixture<SharedHost>
{
    private readonly RunningHost _host = shared.Host;

    [Theory]
    [InlineData("one", """{"event_id":"ID","type":"click","user":"USER","item":"i01","timestamp":1700000000.25}""", "application/json", 1)]
    [InlineData("pretty", "{\n  \"event_id\": \"ID\",\n  \"type\": \"click\",\n  \"user\": \"USER\",\n  \"item\": \"i01\"\n}\n", "application/json", 1)]
    [InlineData("array", """[{"event_id":"ID","type":"click","user":"USER","item":"i01","timestamp":"2023-11-14T22:13:20Z"},{"event_id":"ID2","type":"impression","user":"USER","item":"i01"}]""", "application/json", 2)]
    [InlineData("lines", "{\"event_id\":\"ID\",\"type\":\"click\",\"user\":\"USER\",\"item\":\"i01\"}\r\n\n{\"event_id\":\"ID2\",\"type\":\"impression\",\"user\":\"USER\",\"item\":\"i01\"}", "application/x-ndjson", 2)]
    [InlineData("guessed", "{\"event_id\":\"ID\",\"type\":\"click\",\"user\":\"USER\",\"item\":\"i01\"}\n{\"event_id\":\"ID2\",\"type\":\"impression\",\"user\":\"USER\",\"item\":\"i01\"}\n", "application/x-www-form-urlencoded", 2)]
    public async Task Events_of_every_form_are_stored_once_however_often_they_are_sent(string form, string body, string contentType, int count)
    {
        body = body.Replace("ID", $"{form}-", StringComparison.Ordinal).Replace("USER", form, StringComparison.Ordinal);
        var first = await _host.PostAsync("/v1/events", body, contentType);
        Assert.True(first.Status == 200, first.Text);
        Assert.Equal((count, 0), ((int)first.Json["accepted"]!, (int)first.Json["duplicates"]!));
        var second = await _host.PostAsync("/v1/events", body, contentType);
        Assert.Equal((0, count), ((int)second.Json["accepted"]!, (int)second.Json["duplicates"]!));
        var user = (await _host.GetAsync($"/v1/users/{form}")).Json;
        Assert.Equal((1, count - 1), ((int)user["clicks"]!, (int)user["impressions"]!));
    }

    [Fact]
    public async Task Timestamps_of_both_forms_are_one_moment()
    {
        await _host.PostAsync("/v1/events", """
            [{"event_id":"t1","type":"click","user":"clock","item":"i01","timestamp":1700000000.25},
             {"event_id":"t2","type":"click","user":"clock","item":"i02","timestamp":"2023-11-14T23:13:20.25+01:00"}]
            """);
        var history = (await _host.GetAsync("/v1/users/clock")).Json["history"]!.AsArray();
        Assert.Equal([1700000000.25, 1700000000.25], history.Select(entry => (double)entry!["timestamp"]!));
    }

    [Fact]
    public async Task Bad_entries_of_an_array_are_rejected_with_their_places_and_the_others_stored()
    {
        var answer = await _host.PostAsync("/v1/events", """
            [{"event_id":"p1","type":"click","user":"places","item":"i01"},
             {"event_id":"p2","type":"applaud","user":"places","item":"i01"},
             {"event_id":"p3","type":"click","user":"places","item":"never stored"},
             {"event_id":"p4","type":"click","user":"places"},
             5,
             {"event_id":"p6","type":"click","user":"places","item":"i02"}]
            """);
        Assert.Equal(2, (int)answer.Json["accepted"]!);
        var rejected = answer.Json["rejected"]!.AsArray().ToDictionary(entry => (int)entry!["index"]!, entry => (string)entry!["code"]!);
        Assert.Equal(new Dictionary<int, string> { [1] = "event_type_unknown", [2] = "item_unknown", [3] = "event_item_invalid", [4] = "type_invalid" }, rejected);
        Assert.Equal(2, (int)(await _host.GetAsync("/v1/users/places")).Json["clicks"]!);
    }

    [Fact]
    public async Task Erased_user_is_forgotten_and_item_counters_stay()
    {
        await _host.PostAsync("/v1/events", """{"event_id":"x1","type":"click","user":"forget me","item":"i30"}""");
        var clicks = (int)(await _host.GetAsync("/v1/items/i30")).Json["clicks"]!;
        Assert.Equal(204, (await _host.SendAsync(HttpMethod.Delete, "/v1/users/forget%20me")).Status);
        (await _host.GetAsync("/v1/users/forget%20me")).IsProblem(404, "user_unknown");
        (await _host.SendAsync(HttpMethod.Delete, "/v1/users/forget%20me")).IsProblem(404, "user_unknown");
        Assert.Equal(clicks, (int)(await _host.GetAsync("/v1/items/i30")).Json["clicks"]!);
    }

    [Fact]
    public async Task Profiles_come_by_one_and_by_line()
    {
        Assert.Equal(200, (await _host.PutAsync("/v1/users/p%C3%A9", """{"id":"pé","attributes":{"gender":"F"}}""")).Status);
        Assert.Equal("F", (string)(await _host.GetAsync("/v1/users/p%C3%A9")).Json["attributes"]!["gender"]!);
        var batch = await _host.PostAsync("/v1/users/batch", "{\"id\":\"b1\",\"attributes\":{\"gender\":\"M\"}}\n{\"attributes\":{}}\n{\"id\":\"b2\",\"attributes\":{\"gender\":null}}\n", "application/x-ndjson");
        Assert.Equal(1, (int)batch.Json["accepted"]!);
        Assert.Equal(["id_invalid", "label_invalid"], batch.Json["rejected"]!.AsArray().Select(entry => (string)entry!["code"]!));
        Assert.Equal("M", (string)(await _host.GetAsync("/v1/users/b1")).Json["attributes"]!["gender"]!);
    }
}
