using System.IO.Compression;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using RecBackend.Embedded;
using RecBackend.Http.Health;
using RecBackend.Http.Hosting;
using RecBackend.Scoring;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Http.Tests.Hosting;

/// <summary>What a test asks of its host.</summary>
internal sealed record HostSettings
{
    public int ConcurrentRuns { get; init; } = Environment.ProcessorCount;

    public bool Bundle { get; init; } = true;

    public bool Items { get; init; } = true;

    public bool Development { get; init; } = true;

    public bool Started { get; init; } = true;

    public Dictionary<string, string?> Configuration { get; init; } = [];

    public Func<IRanker, IRanker> Ranker { get; init; } = ranker => ranker;

    /// <summary>Whether other hosts have another model; null = there are none.</summary>
    public IModelLag? Lag { get; init; }

    public string Url { get; init; } = "http://127.0.0.1:0";

    public Uri? PublicAddress { get; init; }

    /// <summary>The clock of the endpoints; the engine keeps to the system's.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;
}

/// <summary>The API over real Kestrel, the real embedded engine and the tiny bundle, on a free port.</summary>
internal sealed class RunningHost : IAsyncDisposable
{
    private readonly DirectoryInfo _state = Directory.CreateTempSubdirectory("recbackend-http-");
    private readonly List<IAsyncDisposable> _owned = [];
    private readonly ScoringRuntime _scoring = new(new ScoringOptions(), TimeProvider.System, NullLogger<ScoringRuntime>.Instance);

    private RunningHost()
    {
    }

    public WebApplication App { get; private set; } = null!;

    public HttpClient Client { get; private set; } = null!;

    public Uri Address { get; private set; } = null!;

    public static string Zip { get; } = ZipTinyBundle();

    public static async Task<RunningHost> StartAsync(HostSettings? settings = null)
    {
        var host = new RunningHost();
        await host.OpenAsync(settings ?? new HostSettings());
        return host;
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await App.DisposeAsync();
        foreach (var owned in _owned)
        {
            await owned.DisposeAsync();
        }

        _scoring.Dispose();
        _state.Delete(recursive: true);
    }

    /// <summary>Sends a body and reads the answer as JSON.</summary>
    public async Task<Answer> SendAsync(HttpMethod method, string path, string? body = null, string contentType = "application/json")
    {
        using var request = new HttpRequestMessage(method, path);
        if (body is not null)
        {
            request.Content = new StringContent(body, Encoding.UTF8);
            request.Content.Headers.ContentType = new(contentType);
        }

        using var response = await Client.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        return new Answer((int)response.StatusCode, text.StartsWith('{') ? JsonNode.Parse(text)!.AsObject() : [], response.Content.Headers.ContentType?.MediaType, text);
    }

    public Task<Answer> PostAsync(string path, string body, string contentType = "application/json") => SendAsync(HttpMethod.Post, path, body, contentType);

    public Task<Answer> PutAsync(string path, string body) => SendAsync(HttpMethod.Put, path, body);

    public Task<Answer> GetAsync(string path) => SendAsync(HttpMethod.Get, path);

    private static string ZipTinyBundle()
    {
        var zip = Path.Combine(Path.GetTempPath(), $"recbackend-tiny-{Environment.ProcessId}.zip");
        File.Delete(zip);
        ZipFile.CreateFromDirectory(Checkout.TinyBundle, zip);
        return zip;
    }

    private async Task OpenAsync(HostSettings settings)
    {
        var clock = TimeProvider.System;
        var engine = await EmbeddedEngine.OpenAsync(new EmbeddedOptions { Directory = _state.FullName }, clock, NullLogger.Instance);
        var bundles = new FileBundleStore(_state.FullName, _scoring, NullLogger<FileBundleStore>.Instance);
        var models = new ModelDirectory(bundles, engine.Items, engine.Changes, new ModelDirectoryOptions());
        var jobs = new JobBoard(clock);
        _owned.AddRange([jobs, models, engine]);
        var writer = new ItemWriter(engine.Items, models, new ItemLimits());

        await models.StartAsync(new JobProgress(), default);
        if (settings.Bundle)
        {
            await using var zip = File.OpenRead(Zip);
            var added = await bundles.AddAsync(zip, default);
            await models.ActivateAsync(added.Version, new JobProgress(), default);
        }

        var builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();

        // A slow moment of the machine must not bring the fallback in; tests of the deadline send the header.
        builder.Configuration.AddInMemoryCollection([new("RecBackend:Limits:RankTimeoutMs", "30000")]);
        builder.Configuration.AddInMemoryCollection(settings.Configuration);
        builder.WebHost.UseUrls(settings.Url);
        var options = new RecBackendHttpOptions { Development = settings.Development, TemporaryFolder = Path.Combine(_state.FullName, "incoming"), Address = settings.PublicAddress, ConcurrentRuns = settings.ConcurrentRuns };
        builder.WebHost.RunCallsOnSocketThreads();
        builder.Services
            .AddSingleton(settings.Clock)
            .AddRecBackendHttp(builder.Configuration, options)
            .AddSingleton(engine.Users).AddSingleton(engine.Items).AddSingleton<IBundleStore>(bundles).AddSingleton(models).AddSingleton(jobs).AddSingleton(writer).AddSingleton(_scoring.Demand)
            .AddSingleton(settings.Ranker(new RankingPipeline(models, engine.Users, clock)));
        if (settings.Lag is { } lag)
        {
            builder.Services.AddSingleton(lag);
        }

        App = builder.Build();
        App.MapRecBackend();
        if (settings.Started)
        {
            App.Services.GetRequiredService<EngineStart>().Complete();
        }

        await App.StartAsync();
        Address = new Uri(App.Urls.First());
        Client = new HttpClient { BaseAddress = Address };
        if (settings.Items && settings.Started && settings.Development)
        {
            var loaded = await PostAsync("/v1/items/batch", await File.ReadAllTextAsync(Checkout.TinyData("items.jsonl")), "application/x-ndjson");
            Assert.Equal(50, (int)loaded.Json["accepted"]!);
        }
    }
}

/// <summary>What came back.</summary>
internal sealed record Answer(int Status, JsonObject Json, string? ContentType, string Text)
{
    public string? Code => (string?)Json["code"];

    public string? Place => (string?)Json["place"];

    public IReadOnlyList<string> Ids => [.. Json["items"]!.AsArray().Select(item => (string)item!["id"]!)];

    public void IsProblem(int status, string code)
    {
        Assert.True(status == Status && code == Code, $"expected {status} {code}, got {Status}: {Text}");
        Assert.Equal("application/problem+json", ContentType);
        Assert.Equal(status, (int)Json["status"]!);
        Assert.Equal($"urn:recbackend:problem:{code}", (string?)Json["type"]);
    }
}

/// <summary>A host that the tests of a class share.</summary>
public sealed class SharedHost : IAsyncLifetime
{
    internal RunningHost Host { get; private set; } = null!;

    public async Task InitializeAsync() => Host = await RunningHost.StartAsync();

    public Task DisposeAsync() => Host.DisposeAsync().AsTask();
}
