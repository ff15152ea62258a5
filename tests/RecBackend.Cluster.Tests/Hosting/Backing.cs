using System.Collections.Concurrent;
using Azure.Storage.Blobs;
using RecBackend.Cli.Up;

namespace RecBackend.Cluster.Tests.Hosting;

/// <summary>Redis and Azurite, started once for all tests that need them.</summary>
public sealed class Backing : IAsyncLifetime
{
    private LoopbackServer? _redis;
    private LoopbackServer? _azurite;
    private readonly ConcurrentBag<Task> _ending = [];

    public string Redis => $"127.0.0.1:{_redis!.Port}";

    public BlobServiceClient Blobs => new(BlobsConnection);

    public string BlobsConnection => AzuriteAccount.ConnectionString(_azurite!.Port);

    public async Task InitializeAsync()
    {
        var (redis, azurite) = (Find(ClusterPrograms.Redis), Find(ClusterPrograms.Azurite));
        _redis = await LoopbackServer.StartAsync(redis, (folder, port) => ["--port", $"{port}", "--bind", "127.0.0.1", "--save", "", "--dir", folder]);
        _azurite = await LoopbackServer.StartAsync(azurite, (folder, port) => AzuriteAccount.Arguments($"{port}", folder));
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

    private static string Find(string program) =>
        ClusterPrograms.TryFind(program) ?? throw new InvalidOperationException($"{program} is not installed; `./rec test` installs it, or says how.");
}

[CollectionDefinition(Name)]
public sealed class BackingCollection : ICollectionFixture<Backing>
{
    public const string Name = "Redis and Azurite";
}
