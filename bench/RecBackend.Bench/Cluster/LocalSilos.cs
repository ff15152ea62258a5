using System.Globalization;
using RecBackend.Bench.Processes;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Cluster;

/// <summary>The silos of one cluster as processes, with the container of blobs that is its state.</summary>
internal sealed class LocalSilos(ClusterStores stores, string state, string cluster) : IAsyncDisposable
{
    private static readonly string[] BothRoles = ["entity", "scoring"];

    private readonly List<HostProcess> _silos = [];

    /// <summary>Those that run, in the order of their start.</summary>
    public IReadOnlyList<HostProcess> Running => _silos;

    /// <summary>The container of users and items.</summary>
    public string Container => cluster;

    /// <summary>Starts silos of both roles, and waits until they answer.</summary>
    public async Task StartAsync(int count, CancellationToken cancellation)
    {
        for (var silo = 1; silo <= count; silo++)
        {
            await StartAsync(string.Create(CultureInfo.InvariantCulture, $"silo-{silo}"), BothRoles, cancellation);
        }
    }

    /// <summary>Starts a silo, and waits until it answers: one after the other, since the first makes the list that the others enter themselves in.</summary>
    public async Task<HostProcess> StartAsync(
        string name, string[] roles, CancellationToken cancellation, IEnumerable<string>? settings = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        var silo = Start(name, roles, settings, environment);
        await silo.UntilAnsweringAsync(cancellation);
        return silo;
    }

    /// <summary>Starts a silo of a cluster that has run before, and does not wait.</summary>
    public HostProcess Start(string name, string[]? roles = null, IEnumerable<string>? settings = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        var endpoint = HostProcess.FreeEndpoint();
        var silo = HostProcess.Start(
            name,
            Installation.RequireSilo(),
            endpoint,
            [
                "--RecBackend:State", Path.Combine(state, cluster, name),
                "--RecBackend:Development", "true",
                "--RecBackend:Cluster:ClusterId", cluster,
                "--RecBackend:Cluster:Blobs:Container", cluster,
                .. stores.SiloArguments(new Uri($"http://{endpoint}/")),
                .. (roles ?? BothRoles).SelectMany((role, place) => new[] { string.Create(CultureInfo.InvariantCulture, $"--RecBackend:Cluster:Roles:{place}"), role }),
                .. settings ?? [],
            ],
            environment,
            Path.Combine(Directory.CreateDirectory(Path.Combine(state, cluster)).FullName, $"{name}.log"));
        _silos.Add(silo);
        return silo;
    }

    /// <summary>Stops all of them; the state stays.</summary>
    public async Task StopAsync()
    {
        await Task.WhenAll(_silos.Select(silo => silo.DisposeAsync().AsTask()));
        _silos.Clear();
    }

    public async ValueTask DisposeAsync() => await StopAsync();
}
