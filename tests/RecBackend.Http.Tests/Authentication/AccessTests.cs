using System.Net.Http.Headers;
using Microsoft.Extensions.Configuration;
using RecBackend.Http.Authentication;
using RecBackend.Http.Configuration;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Authentication;

public sealed class AccessTests
{
    private static readonly (string Method, string Path)[] Calls =
    [
        ("POST", "/v1/rank"), ("POST", "/v1/events"), ("PUT", "/v1/items/i01"), ("POST", "/v1/items/batch"), ("GET", "/v1/items/i01"), ("DELETE", "/v1/items/zz"),
        ("PUT", "/v1/items/i01/embedding"), ("POST", "/v1/embeddings"), ("PUT", "/v1/users/u"), ("POST", "/v1/users/batch"), ("GET", "/v1/users/u"), ("DELETE", "/v1/users/u"),
        ("POST", "/v1/warm"), ("GET", "/v1/jobs"), ("GET", "/v1/jobs/x"), ("DELETE", "/v1/jobs/x"), ("GET", "/v1/models"), ("POST", "/v1/models"),
        ("POST", "/v1/models/x/activate"), ("POST", "/v1/models/x/rollback"), ("GET", "/v1/cluster"), ("GET", "/metrics"), ("GET", "/openapi/v1.json"),
    ];

    [Theory]
    [InlineData("rank", "POST /v1/rank", "GET /v1/items/i01", "GET /metrics", "GET /openapi/v1.json")]
    [InlineData("ingest", "POST /v1/events", "PUT /v1/items/i01", "POST /v1/items/batch", "GET /v1/items/i01", "DELETE /v1/items/zz", "PUT /v1/items/i01/embedding", "POST /v1/embeddings",
        "PUT /v1/users/u", "POST /v1/users/batch", "GET /v1/users/u", "GET /metrics", "GET /openapi/v1.json")]
    public async Task Key_opens_the_calls_of_its_scope_and_no_others(string scope, params string[] open)
    {
        var (key, configuration) = Key(scope);
        await using var host = await RunningHost.StartAsync(new HostSettings { Development = false, Configuration = configuration });
        host.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        foreach (var (method, path) in Calls)
        {
            var answer = await host.SendAsync(new HttpMethod(method), path, method == "GET" ? null : "");
            if (open.Contains($"{method} {path}"))
            {
                Assert.True(answer.Status is not (401 or 403), $"{scope} is refused {method} {path}: {answer.Text}");
            }
            else
            {
                answer.IsProblem(403, "scope_missing");
            }
        }
    }

    [Fact]
    public async Task Admin_alone_opens_every_call()
    {
        var (key, configuration) = Key("admin");
        await using var host = await RunningHost.StartAsync(new HostSettings { Development = false, Configuration = configuration });
        host.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        foreach (var (method, path) in Calls)
        {
            var answer = await host.SendAsync(new HttpMethod(method), path, method == "GET" ? null : "");
            Assert.True(answer.Status is not (401 or 403), $"admin is refused {method} {path}: {answer.Text}");
        }
    }

    [Fact]
    public async Task Missing_or_wrong_key_gets_401_and_health_stays_open()
    {
        var (key, configuration) = Key("admin");
        await using var host = await RunningHost.StartAsync(new HostSettings { Configuration = configuration, Items = false });
        (await host.GetAsync("/v1/models")).IsProblem(401, "key_missing");
        host.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic", key);
        (await host.GetAsync("/v1/models")).IsProblem(401, "key_missing");
        host.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key[..^1] + (key[^1] == 'A' ? 'B' : 'A'));
        (await host.GetAsync("/v1/models")).IsProblem(401, "key_invalid");
        host.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "rubbish");
        (await host.GetAsync("/v1/models")).IsProblem(401, "key_invalid");
        Assert.Equal(200, (await host.GetAsync("/healthz/live")).Status);
        Assert.Equal(200, (await host.GetAsync("/healthz/ready")).Status);
        Assert.Equal(404, (await host.GetAsync("/v1/nothing")).Status);
    }

    [Theory]
    [InlineData(true, "http://127.0.0.1:0", true)]
    [InlineData(false, "http://127.0.0.1:0", false)]
    [InlineData(true, "http://0.0.0.0:0", false)]
    [InlineData(true, "http://127.0.0.1:0;http://0.0.0.0:0", false)]
    public async Task Without_keys_only_a_developers_host_on_loopback_answers(bool development, string urls, bool open)
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Development = development, Url = urls, Items = false });
        host.Client.Dispose();
        using var client = new HttpClient { BaseAddress = new UriBuilder(host.Address) { Host = "127.0.0.1" }.Uri };
        using var models = await client.GetAsync("/v1/models");
        Assert.Equal(open ? 200 : 403, (int)models.StatusCode);
        if (!open)
        {
            Assert.Contains("keys_not_configured", await models.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }

        using var live = await client.GetAsync("/healthz/live");
        Assert.Equal(200, (int)live.StatusCode);
    }

    [Theory]
    [InlineData("http://localhost:80", true)]
    [InlineData("http://127.0.0.5:80", true)]
    [InlineData("http://[::1]:80", true)]
    [InlineData("http://[::]:80", false)]
    [InlineData("http://*:80", false)]
    [InlineData("http://+:80", false)]
    [InlineData("http://10.0.0.1:80", false)]
    [InlineData("http://example.org:80", false)]
    public void Loopback_is_told_from_what_others_can_reach(string address, bool loopback) => Assert.Equal(loopback, OpenAccess.IsLoopback(address));

    [Theory]
    [InlineData("RecBackend:Keys:0:Hash", "nonsense", "RecBackend:Keys:0:Hash")]
    [InlineData("RecBackend:Keys:0:Scopes:0", "root", "RecBackend:Keys:0:Scopes")]
    [InlineData("RecBackend:Keys:0:Scopes:0", null, "RecBackend:Keys:0:Scopes")]
    public void Wrong_entry_is_refused_by_the_name_of_its_key(string key, string? value, string named)
    {
        var (_, configuration) = Key("rank");
        configuration[key] = value;
        var section = new ConfigurationBuilder().AddInMemoryCollection(configuration).Build().GetSection("RecBackend:Keys");
        Assert.Equal(named, Assert.Throws<ConfigurationException>(() => ApiKeyRing.Read(section)).Key);
    }

    [Fact]
    public void Limit_that_is_misspelled_or_zero_is_refused_by_name()
    {
        Assert.Contains("Candidats", Assert.Throws<ConfigurationException>(() => HttpLimits.Read(Of("RecBackend:Limits:Candidats", "3"))).Message, StringComparison.Ordinal);
        Assert.Equal("RecBackend:Limits:Candidates", Assert.Throws<ConfigurationException>(() => HttpLimits.Read(Of("RecBackend:Limits:Candidates", "0"))).Key);

        static IConfigurationRoot Of(string key, string value) => new ConfigurationBuilder().AddInMemoryCollection([new(key, value)]).Build();
    }

    private static (string Key, Dictionary<string, string?> Configuration) Key(string scope)
    {
        var (key, hash) = ApiKeyHash.Create();
        return (key, new() { ["RecBackend:Keys:0:Hash"] = hash.ToString(), ["RecBackend:Keys:0:Scopes:0"] = scope });
    }
}
