using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Core.Ranking;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Problems;

/// <summary>Every row of the table "What a bad request gets" in DESIGN.md.</summary>
public sealed class BadRequestTests(SharedHost shared) : IClassFixture<SharedHost>
{
    private readonly RunningHost _host = shared.Host;

    [Theory]
    [InlineData("", "json_invalid")]
    [InlineData("{", "json_invalid")]
    [InlineData("""{"user":"u","items":["i01"]""", "json_invalid")]
    [InlineData("""{"user":"u","items":["i01"]} x""", "json_invalid")]
    [InlineData("""{"user":"u","items":["i01",]}""", "json_invalid")]
    [InlineData("[]", "type_invalid")]
    [InlineData("null", "type_invalid")]
    [InlineData("""{"user":1,"items":["i01"]}""", "type_invalid", "user")]
    [InlineData("""{"user":"u","items":"i01"}""", "type_invalid", "items")]
    [InlineData("""{"user":"u","items":["i01",7]}""", "type_invalid", "items[1]")]
    [InlineData("""{"user":"u","items":[{"id":7}]}""", "type_invalid", "items[0].id")]
    [InlineData("""{"user":"u","items":["i01"],"limit":"3"}""", "type_invalid", "limit")]
    [InlineData("""{"user":"u","items":["i01"],"limit":-1}""", "value_invalid", "limit")]
    [InlineData("""{"user":"u","items":["i01"],"limit":1.5}""", "value_invalid", "limit")]
    [InlineData("""{"user":"u","items":["i01"],"context":{"x":"1"}}""", "type_invalid", "context.x")]
    [InlineData("""{"user":"u","items":["i01"],"context":{"x":1e999}}""", "type_invalid", "context.x")]
    [InlineData("""{"user":"u","items":["i01"],"context":{"timestamp":1e300}}""", "value_invalid", "context.timestamp")]
    [InlineData("""{"user":"u","items":["i01"],"context":[]}""", "type_invalid", "context")]
    [InlineData("""{"user":"u","items":["i01"],"explain":"yes"}""", "type_invalid", "explain")]
    [InlineData("""{"user":"u","items":["i01"],"modell":"x"}""", "member_unknown", "modell")]
    [InlineData("""{"user":"u","items":[{"id":"i01","score":1}]}""", "member_unknown", "items[0].score")]
    [InlineData("""{"user":"u","user":"v","items":["i01"]}""", "member_duplicate", "user")]
    [InlineData("""{"user":"u","items":[{"id":"a","id":"b"}]}""", "member_duplicate", "items[0].id")]
    [InlineData("""{"user":"u","items":["i01"],"context":{"x":1,"x":2}}""", "member_duplicate", "context.x")]
    [InlineData("""{"items":["i01"]}""", "member_missing", "user")]
    [InlineData("""{"user":"u"}""", "member_missing", "items")]
    [InlineData("""{"user":"u","items":[{}]}""", "member_missing", "items[0].id")]
    [InlineData("""{"user":"","items":["i01"]}""", "id_invalid", "user")]
    [InlineData("""{"user":"u","items":["a\u0000b"]}""", "id_invalid", "items[0]")]
    [InlineData("""{"user":"u","items":["\ud800"]}""", "id_invalid", "items[0]")]
    [InlineData("""{"user":"u","items":["i01"],"request_id":""}""", "id_invalid", "request_id")]
    public async Task Ranking_that_is_no_request_gets_400_with_the_place(string body, string code, string? place = null)
    {
        var answer = await _host.PostAsync("/v1/rank", body);
        answer.IsProblem(400, code);
        Assert.NotEmpty((string)answer.Json["detail"]!);
        if (place is not null)
        {
            Assert.Equal(place, answer.Place);
        }
    }

    [Theory]
    [InlineData("POST", "/v1/events", """{"event_id":"e","type":"applaud","user":"u","item":"i01"}""", "event_type_unknown")]
    [InlineData("POST", "/v1/events", """{"type":"click","user":"u","item":"i01"}""", "event_id_invalid")]
    [InlineData("POST", "/v1/events", """{"event_id":"e","type":"click","user":"u","item":"i01","timestamp":"yesterday"}""", "event_timestamp_invalid")]
    [InlineData("POST", "/v1/events", """{"event_id":"e","type":"click","user":"u","item":"i01","timestamp":"2026-01-01T00:00:00"}""", "event_timestamp_invalid")]
    [InlineData("POST", "/v1/events", """{"event_id":"e","type":"click","user":"u","item":"i01","timestamp":1e12}""", "event_timestamp_invalid")]
    [InlineData("POST", "/v1/events", """{"event_id":5}""", "type_invalid")]
    [InlineData("POST", "/v1/events", """{"event":5}""", "member_unknown")]
    [InlineData("POST", "/v1/events", """{"event_id":"a","event_id":"b"}""", "member_duplicate")]
    [InlineData("POST", "/v1/events", """[{"event_id":"e"},""", "json_invalid")]
    [InlineData("POST", "/v1/events", """{"event_id":"e",""", "json_invalid")]
    [InlineData("PUT", "/v1/items/x", """{"title":5}""", "type_invalid")]
    [InlineData("PUT", "/v1/items/x", """{"titel":"t"}""", "member_unknown")]
    [InlineData("PUT", "/v1/items/x", """{"id":"y"}""", "value_invalid")]
    [InlineData("PUT", "/v1/items/x", """{"image":"no base64!"}""", "type_invalid")]
    [InlineData("PUT", "/v1/items/x", "nope", "json_invalid")]
    [InlineData("PUT", "/v1/items/%00", "{}", "request_invalid")]
    [InlineData("PUT", "/v1/items/a%0Ab", "{}", "id_invalid")]
    [InlineData("PUT", "/v1/users/x", "{}", "member_missing")]
    [InlineData("PUT", "/v1/users/x", """{"attributes":{"a":1}}""", "type_invalid")]
    [InlineData("POST", "/v1/warm", """{"items":["ok",""]}""", "id_invalid")]
    [InlineData("POST", "/v1/warm", """{"items":7}""", "type_invalid")]
    public async Task Write_that_is_no_request_gets_400(string method, string path, string body, string code)
    {
        var answer = await _host.SendAsync(new HttpMethod(method), path, body);
        if (code == "request_invalid")
        {
            // Kestrel itself refuses it, before there is anybody to write a body.
            Assert.Equal(400, answer.Status);
            return;
        }

        answer.IsProblem(400, code);
    }

    [Fact]
    public async Task Timeout_header_that_is_no_number_gets_400()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/rank") { Content = new StringContent("""{"user":"u","items":["i01"]}""") };
        request.Headers.Add("Request-Timeout-Ms", "soon");
        using var response = await _host.Client.SendAsync(request);
        Assert.Equal(400, (int)response.StatusCode);
        Assert.Contains("parameter_invalid", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Too_many_candidates_get_413()
    {
        var most = string.Join(',', Enumerable.Range(0, 5_000).Select(i => $"\"x{i}\""));
        Assert.Equal(200, (await _host.PostAsync("/v1/rank", $$"""{"user":"u","items":[{{most}}]}""")).Status);
        (await _host.PostAsync("/v1/rank", $$"""{"user":"u","items":[{{most}},"i01"]}""")).IsProblem(413, "candidates_too_many");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Body_that_is_too_large_gets_413(bool chunked)
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Configuration = { ["RecBackend:Limits:RankBody"] = "10000" } });
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/rank")
        {
            Content = new StringContent("""{"user":"u","items":[],"request_id":"r"}""" + new string(' ', 12_000), Encoding.UTF8, "application/json"),
        };
        request.Headers.TransferEncodingChunked = chunked;
        using var response = await host.Client.SendAsync(request);
        Assert.Equal(413, (int)response.StatusCode);
        Assert.Contains("body_too_large", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Candidate_given_twice_is_ranked_once()
    {
        var answer = await _host.PostAsync("/v1/rank", """{"user":"u","items":["i01","i02","i01",{"id":"i02"},"\u0069\u0030\u0031"]}""");
        Assert.Equal(["i01", "i02"], answer.Ids.Order());
    }

    [Fact]
    public async Task Candidate_never_seen_is_listed_as_unknown_and_not_ranked()
    {
        var answer = await _host.PostAsync("/v1/rank", """{"user":"u","items":["never \"seen\" \\","i01","nor this"]}""");
        Assert.Equal(["i01"], answer.Ids);
        Assert.Equal(["never \"seen\" \\", "nor this"], answer.Json["unknown"]!.AsArray().Select(id => (string)id!));
    }

    [Fact]
    public async Task User_never_seen_is_ranked_by_the_model()
    {
        var answer = await _host.PostAsync("/v1/rank", """{"user":"nobody knows me","items":["i01","i02","i03"]}""");
        Assert.Equal("model", (string)answer.Json["mode"]!);
        Assert.Equal(3, answer.Ids.Count);
        (await _host.GetAsync("/v1/users/nobody%20knows%20me")).IsProblem(404, "user_unknown");
    }

    [Theory]
    [InlineData("[1,2,3]", "embedding_length")]
    [InlineData("[]", "embedding_length")]
    [InlineData("[1,2,3,4,5,6,7,8,9,10,11,1e999]", "embedding_not_finite")]
    public async Task Vector_that_cannot_be_gets_422_and_nothing_is_stored(string vector, string code)
    {
        var before = await _host.GetAsync("/v1/items/i05");
        (await _host.PutAsync("/v1/items/i05/embedding", $$"""{"representation":{{vector}}}""")).IsProblem(422, code);
        Assert.Equal(before.Text, (await _host.GetAsync("/v1/items/i05")).Text);
    }

    [Fact]
    public async Task Vector_of_another_bundle_gets_422()
    {
        var vector = string.Join(',', Enumerable.Repeat("0.5", 12));
        (await _host.PutAsync("/v1/items/i05/embedding", $$"""{"bundle":"other-1","representation":[{{vector}}]}""")).IsProblem(422, "embedding_bundle");
    }

    [Fact]
    public async Task One_bad_line_of_ten_thousand_is_rejected_with_its_number()
    {
        var lines = Enumerable.Range(0, 10_000).Select(i => i == 7_777
            ? """{"event_id": "broken"""
            : string.Create(CultureInfo.InvariantCulture, $$"""{"event_id":"b{{i}}","type":"impression","user":"batch{{i % 10}}","item":"i{{(i % 50) + 1:00}}","timestamp":1700000000}"""));
        var answer = await _host.PostAsync("/v1/events", string.Join('\n', lines), "application/x-ndjson");
        Assert.Equal(9_999, (int)answer.Json["accepted"]!);
        var rejected = Assert.Single(answer.Json["rejected"]!.AsArray())!;
        Assert.Equal(7_777, (int)rejected["index"]!);
        Assert.Equal("json_invalid", (string)rejected["code"]!);
        Assert.Equal(1_000, (int)(await _host.GetAsync("/v1/users/batch3")).Json["impressions"]!);
    }

    [Fact]
    public async Task Line_that_is_too_long_is_rejected_and_the_lines_after_it_are_stored()
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Configuration = { ["RecBackend:Limits:Line"] = "1000" } });
        var body = $$"""
            {"id":"before","title":"a"}
            {"id":"long","title":"{{new string('x', 500_000)}}"}

            {"id":"after","title":"b"}
            """;
        var answer = await host.PostAsync("/v1/items/batch", body, "application/x-ndjson");
        Assert.Equal(2, (int)answer.Json["accepted"]!);
        Assert.Equal(1, (int)Assert.Single(answer.Json["rejected"]!.AsArray())!["index"]!);
        Assert.Equal(200, (await host.GetAsync("/v1/items/after")).Status);
    }

    [Fact]
    public async Task Overload_gets_429_at_once_and_a_free_place_is_used_again()
    {
        var ranker = new HeldRanker();
        await using var host = await RunningHost.StartAsync(new HostSettings
        {
            Configuration = { ["RecBackend:Limits:ConcurrentRankings"] = "1" },
            Ranker = inner => ranker.Over(inner),
        });
        const string Body = """{"user":"u","items":["i01"]}""";
        var held = host.PostAsync("/v1/rank", Body);
        await ranker.EnteredAsync(1);
        using (var content = new StringContent(Body))
        using (var refused = await host.Client.PostAsync("/v1/rank", content))
        {
            Assert.Equal(429, (int)refused.StatusCode);
            Assert.True(refused.Headers.RetryAfter?.Delta > TimeSpan.Zero);
        }

        // Another kind of call has places of its own.
        Assert.Equal(200, (await host.GetAsync("/v1/items/i01")).Status);
        ranker.Release();
        Assert.Equal(200, (await held).Status);
        Assert.Equal(200, (await host.PostAsync("/v1/rank", Body)).Status);
    }

    [Fact]
    public async Task Failure_names_the_trace_of_the_caller()
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Ranker = _ => new BrokenRanker() });
        using var content = new StringContent("""{"user":"u","items":["i01"]}""");
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/rank") { Content = content, Headers = { { "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" } } };
        using var answer = await host.Client.SendAsync(request);
        var problem = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;

        Assert.Equal(500, (int)answer.StatusCode);
        Assert.Equal("internal", (string?)problem["code"]);
        Assert.Contains("0af7651916cd43dd8448eb211c80319c", (string?)problem["detail"], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rankings_that_the_host_does_not_keep_up_with_get_429()
    {
        var ranker = new HeldRanker();
        await using var host = await RunningHost.StartAsync(new HostSettings { ConcurrentRuns = 1, Ranker = inner => ranker.Over(inner) });
        const string Body = """{"user":"u","items":["i01"]}""";
        var held = Enumerable.Range(0, 64).Select(_ => host.PostAsync("/v1/rank", Body)).ToList();
        await ranker.EnteredAsync(64);
        for (var i = 0; i < 3; i++)
        {
            using var content = new StringContent(Body);
            using var refused = await host.Client.PostAsync("/v1/rank", content);
            Assert.Equal(429, (int)refused.StatusCode);
            Assert.True(refused.Headers.RetryAfter?.Delta > TimeSpan.Zero);
            Assert.Contains("\"overloaded\"", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }

        ranker.Release();
        Assert.All(await Task.WhenAll(held), answer => Assert.Equal(200, answer.Status));
        Assert.Equal(200, (await host.PostAsync("/v1/rank", Body)).Status);
    }

    private sealed class BrokenRanker : IRanker
    {
        public ValueTask<Core.Ranking.Ranking> RankAsync(RankRequest request, CancellationToken cancellation) => throw new InvalidDataException("of the test");
    }

    private sealed class HeldRanker : IRanker
    {
        private readonly SemaphoreSlim _entered = new(0);
        private readonly TaskCompletionSource _released = new();
        private IRanker? _inner;

        public async Task EnteredAsync(int count)
        {
            for (var i = 0; i < count; i++)
            {
                Assert.True(await _entered.WaitAsync(TimeSpan.FromSeconds(30)));
            }
        }

        public HeldRanker Over(IRanker inner)
        {
            _inner = inner;
            return this;
        }

        public void Release() => _released.SetResult();

        public async ValueTask<Core.Ranking.Ranking> RankAsync(RankRequest request, CancellationToken cancellation)
        {
            _entered.Release();
            await _released.Task.WaitAsync(TimeSpan.FromSeconds(30), cancellation);
            return await _inner!.RankAsync(request, cancellation);
        }
    }
}
