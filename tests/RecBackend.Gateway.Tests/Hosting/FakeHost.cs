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

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();

    private async Task HandleAsync(HttpContext context)
    {
        if (context.Request.Path == "/healthz/ready")
        {
            context.Response.StatusCode = Ready ? 200 : 503;
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
