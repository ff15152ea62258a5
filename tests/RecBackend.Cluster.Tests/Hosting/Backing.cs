using System.Collections.Concurrent;
using Azure.Storage.Blobs;

namespace RecBackend.Cluster.Tests.Hosting;

/// <summary>Redis and Azurite, started once for all tests that need them.</summary>
public sealed class Backing : IAsyncLifetime
{
    private LoopbackServer? _redis;
    private LoopbackServer? _azurite;
    private readonly ConcurrentBag<Task> _ending = [];

    public string Redis => $"127.0.0.1:{_redis!.Port}";

    /// <summary>The account that every Azurite has; its key is public.</summary>
    public BlobServiceClient Blobs => new(BlobsConnection);

    public string BlobsConnection =>
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
        + $"BlobEndpoint=http://127.0.0.1:{_azurite!.Port}/devstoreaccount1;";

    public async Task InitializeAsync()
    {
        var (redis, azurite) = (Find("redis-server"), Find("azurite-blob"));
        _redis = await LoopbackServer.StartAsync(redis, (folder, port) => ["--port", $"{port}", "--bind", "127.0.0.1", "--save", "", "--dir", folder]);
        _azurite = await LoopbackServer.StartAsync(azurite, (folder, port) =>
            ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", $"{port}", "--location", folder]);
    }

    /// <summary>Does not stop before <paramref name="ending"/> has ended, which needs Redis and Azurite.</summary>
    public void Await(Task ending) => _ending.Add(ending);

    public async Task DisposeAsync()
    {
        await Task.WhenAll(_ending);
        foreach (var server in new[] { _redis, _azurite })
        {
            if (server is not null)
            {
                await server.DisposeAsync();
            }
        }
    }

    /// <summary>A program on the path, or where <c>./rec setup</c> puts what npm has.</summary>
    private static string Find(string program)
    {
        var cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } set ? set : Path.Combine(Environment.GetEnvironmentVariable("HOME") ?? "/", ".cache");
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Append(Path.Combine(cache, "recbackend", "azurite", "node_modules", ".bin"));
        return folders.Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists)
            ?? throw new InvalidOperationException($"{program} is not installed; `./rec test` installs it, or says how.");
    }
}

[CollectionDefinition(Name)]
public sealed class BackingCollection : ICollectionFixture<Backing>
{
    public const string Name = "Redis and Azurite";
}
