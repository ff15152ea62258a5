using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace RecBackend.Gateway.Tests.Hosting;

/// <summary>The real gateway on a free port.</summary>
internal sealed class RunningGateway : IAsyncDisposable
{
    private WebApplication _app = null!;

    public HttpClient Client { get; private set; } = null!;

    public static async Task<RunningGateway> StartAsync(IEnumerable<Uri> hosts, params string[] settings)
    {
        var gateway = new RunningGateway();
        var destinations = hosts.SelectMany((host, i) => new[] { string.Create(CultureInfo.InvariantCulture, $"--Gateway:Destinations:{i}"), host.ToString() });
        string[] development = settings.Any(setting => setting.Contains("Keys", StringComparison.Ordinal)) ? [] : ["--RecBackend:Development", "true"];
        gateway._app = GatewayHost.Build(["--urls", "http://127.0.0.1:0", "--Logging:LogLevel:Default", "None", .. destinations, .. development, .. settings]);
        await gateway._app.StartAsync();
        gateway.Client = new HttpClient { BaseAddress = new Uri(gateway._app.Urls.First()) };
        return gateway;
    }

    /// <summary>A gateway that follows a cluster, and has heard of it.</summary>
    public static async Task<RunningGateway> FollowAsync(Uri seed, params string[] settings)
    {
        var gateway = await StartAsync([], ["--RecBackend:Gateway:Cluster:Seeds:0", seed.ToString(), "--RecBackend:Gateway:Cluster:PollMs", "20", .. settings]);
        for (var i = 0; i < 1_000; i++)
        {
            if (!(await gateway.SendAsync(HttpMethod.Get, "/healthz/ready")).Text.Contains("\"hosts\":{}", StringComparison.Ordinal))
            {
                return gateway;
            }

            await Task.Delay(20);
        }

        await gateway.DisposeAsync();
        throw new TimeoutException("The gateway never heard of its cluster.");
    }

    /// <summary>Changes settings while the gateway runs.</summary>
    public void Configure(params (string Key, string? Value)[] settings)
    {
        var configuration = (IConfigurationRoot)_app.Services.GetRequiredService<IConfiguration>();
        foreach (var (key, value) in settings)
        {
            configuration[key] = value;
        }

        configuration.Reload();
    }

    public async Task<(int Status, string Text, string Host, string RequestId)> SendAsync(HttpMethod method, string path, HttpContent? content = null, Action<HttpRequestMessage>? adapt = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        adapt?.Invoke(request);
        using var response = await Client.SendAsync(request);
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync(), Header("X-Host"), Header("X-Request-Id"));

        string Header(string name) => response.Headers.TryGetValues(name, out var values) ? values.Single() : "";
    }

    public Task<(int Status, string Text, string Host, string RequestId)> RankAsync() => SendAsync(HttpMethod.Post, "/v1/rank", new StringContent("{}"));

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.DisposeAsync();
    }
}
