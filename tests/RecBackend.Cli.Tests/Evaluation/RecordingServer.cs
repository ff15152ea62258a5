using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace RecBackend.Cli.Tests.Evaluation;

/// <summary>Writes down in which order a replay ranks and tells. What a real server answers is tested where the server is.</summary>
internal sealed class RecordingServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentQueue<string> _calls = new();

    private RecordingServer(WebApplication app)
    {
        _app = app;
        app.MapPost("/v1/rank", RankAsync);
        app.MapPost("/v1/events", TellAsync);
    }

    public Uri Address { get; private set; } = null!;

    public IEnumerable<string> Calls => _calls;

    /// <summary>Score of an item; null makes it unknown.</summary>
    public Func<string, double?> Score { get; set; } = _ => 0.5;

    public string Mode { get; set; } = "model";

    public static async Task<RecordingServer> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        var server = new RecordingServer(builder.Build());
        server._app.Urls.Add("http://127.0.0.1:0");
        await server._app.StartAsync();
        server.Address = new Uri(server._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        return server;
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private async Task<IResult> RankAsync(HttpRequest request)
    {
        var body = (await JsonNode.ParseAsync(request.Body))!;
        var items = body["items"]!.AsArray().Select(item => (string)item!).ToList();
        _calls.Enqueue($"rank {body["user"]} {string.Join(',', items)} @{body["context"]!["timestamp"]}");
        return Results.Json(new
        {
            model = "m1",
            mode = Mode,
            items = items.Where(item => Score(item) is not null).Select(item => new { id = item, score = Score(item), cold = false }),
            unknown = items.Where(item => Score(item) is null),
        });
    }

    private async Task<IResult> TellAsync(HttpRequest request)
    {
        var events = (await JsonNode.ParseAsync(request.Body))!.AsArray();
        foreach (var told in events)
        {
            _calls.Enqueue($"{told!["type"]} {told["user"]} {told["item"]} @{told["timestamp"]}");
        }

        return Results.Json(new { accepted = events.Count, duplicates = 0, rejected_count = 0, rejected = Array.Empty<string>() });
    }
}
