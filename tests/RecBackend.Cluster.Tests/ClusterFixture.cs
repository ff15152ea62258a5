using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Engine.Contract;

namespace RecBackend.Cluster.Tests;

/// <summary>Clusters of three silos, each on blobs of its own.</summary>
internal sealed class ClusterFixture(Backing backing) : IEngineFixture
{
    private readonly string _container = $"t{Guid.NewGuid():n}";
    private readonly List<TestCluster> _abandoned = [];
    private TestCluster? _cluster;

    public ManualClock Clock { get; } = new();

    public async ValueTask<EnginePorts> StartAsync()
    {
        _cluster = await TestCluster.StartAsync(backing, _container, silos: 3, Clock);
        return _cluster.PortsOf(1);
    }

    public async ValueTask<EnginePorts> ReopenAsync()
    {
        await _cluster!.StopAsync();
        await _cluster.DisposeAsync();
        return await StartAsync();
    }

    /// <summary>Another cluster takes over the blobs, as they are at this moment. The one before still runs, and still believes that they are its own.</summary>
    public async ValueTask<EnginePorts> CrashAsync()
    {
        _abandoned.Add(_cluster!);
        return await StartAsync();
    }

    public async ValueTask SettleAsync() => await _cluster!.SettleAsync();

    public async ValueTask DisposeAsync()
    {
        foreach (var cluster in _abandoned.Append(_cluster))
        {
            if (cluster is not null)
            {
                await cluster.DisposeAsync();
            }
        }
    }
}
