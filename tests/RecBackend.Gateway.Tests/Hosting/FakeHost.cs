using System.Collections.Concurrent;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace RecBackend.Gateway.Tests.Hosting;

/// <summary>A host behind the gateway that answers as it is told: what is tested here is the gateway.</summary>
internal sealed class FakeHost : IAsyncDisposable
{
    private WebApplication _app = null!;

    public string Name { get; private init; } = "";

    public Uri Address { get; private set; } = null!;

    public volatile bool Ready = true;

    /// <summary>What it tells of the cluster; null if it is in none. It is asked by the gateway alone, and no such call is among those that were seen.</summary>
    public volatile Func<string>? Cluster;

    /// <summary>The credentials of those who asked for the cluster.</summary>
    public ConcurrentQueue<string> Asked { get; } = [];

    public ConcurrentQueue<(string Target, IHeaderDictionary Headers, long Body)> Seen { get; } = [];

    public Func<HttpContext, Task> Answer { get; set; } = _ => Task.CompletedTask;

    public static async Task<FakeHost> StartAsync(string name, string url = "http://127.0.0.1:0")
    {
        var host = new FakeHost { Name = name };
        var builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls(url);
        host._app = builder.Build();
        host._app.Run(host.HandleAsync);
        await host._app.StartAsync();
        host.Address = new Uri(host._app.Urls.First());
        return host;
    }

    /// <summary>Ends as a killed process does for those who speak with it: nobody listens, and connections break.</summary>
    public async Task KillAsync() => await _app.StopAsync(new CancellationToken(canceled: true));

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();

    private async Task HandleAsync(HttpContext context)
    {
        if (context.Request.Path == "/healthz/ready")
        {
            context.Response.StatusCode = Ready ? 200 : 503;
            return;
        }

        if (context.Request.Path == "/v1/cluster" && Cluster is { } cluster)
        {
            Asked.Enqueue(context.Request.Headers.Authorization.ToString());
            await context.Response.WriteAsync(cluster());
            return;
        }

        var length = 0L;
        var buffer = new byte[8192];
        for (int read; (read = await context.Request.Body.ReadAsync(buffer)) > 0;)
        {
            length += read;
        }

        Seen.Enqueue((context.Features.Get<IHttpRequestFeature>()!.RawTarget, new HeaderDictionary(context.Request.Headers.ToDictionary(StringComparer.OrdinalIgnoreCase)), length));
        context.Response.Headers["X-Host"] = Name;
        await Answer(context);
    }
}
