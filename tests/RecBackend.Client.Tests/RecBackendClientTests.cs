using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace RecBackend.Client.Tests;

/// <summary>What goes over the wire, against a real socket. What a real server makes of it is tested where the server is.</summary>
public sealed class RecBackendClientTests : IAsyncLifetime
{
    private WebApplication _app = null!;
    private RecBackendClient _client = null!;
    private (string Method, string Path, string? Type, string? Key, string? Timeout, byte[] Body) _request;
    private Func<HttpContext, Task> _answer = _ => Task.CompletedTask;

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        _app = builder.Build();
        _app.Urls.Add("http://127.0.0.1:0");
        _app.Run(async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body);
            var headers = context.Request.Headers;
            _request = (context.Request.Method, context.Request.Path.Value! + context.Request.QueryString, context.Request.ContentType,
                headers.Authorization, headers["Request-Timeout-Ms"], body.ToArray());
            await _answer(context);
        });
        await _app.StartAsync();
        var address = _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        _client = new RecBackendClient(new Uri(address), "rb_key");
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _app.DisposeAsync();
    }

    [Fact]
    public async Task Ranking_is_sent_in_snake_case_and_read_back()
    {
        Answer("""{"request_id":"r","model":"m","mode":"model","items":[{"id":"b","score":0.75,"cold":true}],"unknown":["x"],"took_us":12,"new_member":1}""");

        var ranking = await _client.RankAsync(
            new RankRequest { User = "u", Items = ["a", "b", "x"], Limit = 2, RequestId = "r", Context = new Dictionary<string, double> { ["timestamp"] = 978134533 }, Timeout = TimeSpan.FromSeconds(2) });

        Assert.Equal(("POST", "/v1/rank", "application/json", "Bearer rb_key", "2000"), (_request.Method, _request.Path, _request.Type, _request.Key, _request.Timeout));
        AssertJson("""{"user":"u","items":["a","b","x"],"context":{"timestamp":978134533},"limit":2,"request_id":"r"}""");
        Assert.True(ranking.ByModel);
        Assert.Equal(new RankedItem("b", 0.75, true), Assert.Single(ranking.Items));
        Assert.Equal(["x"], ranking.Unknown);
        Assert.Equal(12, ranking.TookUs);
    }

    [Fact]
    public async Task Events_are_sent_as_an_array_in_their_order()
    {
        Answer("""{"accepted":1,"duplicates":0,"rejected_count":1,"rejected":[{"index":1,"code":"item_unknown","detail":"d"}]}""");

        var receipt = await _client.SendEventsAsync(
        [
            new InteractionEvent { EventId = "1", Type = "impression", User = "u", Item = "a", Timestamp = 5.5 },
            new InteractionEvent { EventId = "2", Type = "click", User = "u", Item = "b" },
        ]);

        AssertJson("""[{"event_id":"1","type":"impression","user":"u","item":"a","timestamp":5.5},{"event_id":"2","type":"click","user":"u","item":"b"}]""");
        Assert.Equal((1, 1), (receipt.Accepted, receipt.RejectedCount));
        Assert.Equal(new RejectedEntry(1, "item_unknown", "d"), Assert.Single(receipt.Rejected));
    }

    [Fact]
    public async Task Items_are_sent_one_a_line_with_the_image_in_base64()
    {
        Answer("""{"accepted":2,"duplicates":0,"rejected_count":0,"rejected":[]}""");

        await _client.PutItemsAsync([new Item { Id = "1", Title = "two\nlines", Image = [1, 2, 3] }, new Item { Id = "2", ImageFeatures = [0.5f] }]);

        Assert.Equal(("/v1/items/batch", "application/x-ndjson"), (_request.Path, _request.Type));
        var lines = System.Text.Encoding.UTF8.GetString(_request.Body).Split('\n');
        Assert.Equal(3, lines.Length);
        Assert.Equal("AQID", (string?)JsonNode.Parse(lines[0])!["image"]);
        Assert.Equal("""{"id":"2","image_features":[0.5]}""", lines[1]);
        Assert.Empty(lines[2]);
    }

    [Fact]
    public async Task Ids_are_escaped_in_paths()
    {
        Answer("""{"accepted":1,"duplicates":0,"rejected_count":0,"rejected":[]}""");

        await _client.PutItemAsync(new Item { Id = "a/b?c=ü" });

        // Kestrel leaves an escaped slash alone, as a path may not change its segments.
        Assert.Equal("/v1/items/a%2Fb?c=ü", _request.Path);
    }

    [Fact]
    public async Task Problem_tells_code_place_and_words()
    {
        Answer("""{"type":"t","title":"T","status":422,"detail":"D","code":"text_invalid","place":"items[3]"}""", 422, "application/problem+json");

        var problem = await Assert.ThrowsAsync<ProblemException>(() => _client.PutItemAsync(new Item { Id = "1" }));

        Assert.Equal((HttpStatusCode.UnprocessableEntity, "text_invalid", "D", "items[3]"), (problem.Status, problem.Code, problem.Detail, problem.Place));
        Assert.Contains("text_invalid", problem.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("<html>gateway</html>", "text/html")]
    [InlineData("{\"code\":", "application/problem+json")]
    public async Task Refusal_without_problem_details_is_a_problem_all_the_same(string body, string type)
    {
        Answer(body, 502, type);

        var problem = await Assert.ThrowsAsync<ProblemException>(() => _client.ListModelsAsync());

        Assert.Equal(HttpStatusCode.BadGateway, problem.Status);
        Assert.Null(problem.Code);
    }

    [Fact]
    public async Task Unknown_user_is_null_and_another_404_is_not()
    {
        Answer("""{"code":"user_unknown"}""", 404, "application/problem+json");
        Assert.Null(await _client.GetUserAsync("u"));

        Answer("""{"code":"route_unknown"}""", 404, "application/problem+json");
        await Assert.ThrowsAsync<ProblemException>(() => _client.GetUserAsync("u"));
    }

    [Fact]
    public async Task Bundle_is_sent_as_it_is()
    {
        Answer("""{"version":"v1","recipe":"id","created":"2026-11-22T01:00:00Z","bytes":3,"metrics":{"test":{"auc":0.7}}}""", 201);

        var model = await _client.PushModelAsync(new MemoryStream([1, 2, 3]));

        Assert.Equal("application/zip", _request.Type);
        Assert.Equal(new byte[] { 1, 2, 3 }, _request.Body);
        Assert.Equal(0.7, model.Metrics!["test"]["auc"]);
    }

    [Fact]
    public async Task Health_of_a_server_that_is_not_there_is_false()
    {
        await _app.StopAsync();

        Assert.False(await _client.IsReadyAsync());
    }

    private void Answer(string body, int status = 200, string type = "application/json") => _answer = async context =>
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        await context.Response.WriteAsync(body);
    };

    private void AssertJson(string expected)
    {
        Assert.True(
            JsonNode.DeepEquals(JsonNode.Parse(expected), JsonNode.Parse(_request.Body)),
            $"expected {expected}, sent {JsonSerializer.Serialize(JsonNode.Parse(_request.Body))}");
    }
}
