using System.Globalization;

namespace RecBackend.Cli.Up;

/// <summary>What a cluster on this machine keeps its state in: Redis the list of silos, Azurite everything else. The bench has this file too.</summary>
internal sealed class ClusterStores : IAsyncDisposable
{
    private readonly List<ChildProcess> _processes = [];
    private readonly int _redisPort = Loopback.FreePort();

    private ClusterStores()
    {
    }

    /// <summary>Its processes.</summary>
    public IReadOnlyList<ChildProcess> Processes => _processes;

    /// <summary>The one of them that takes blobs.</summary>
    public ChildProcess Azurite => _processes[^1];

    /// <summary>The port of loopback at which Azurite answers for blobs.</summary>
    public int BlobPort { get; } = Loopback.FreePort();

    /// <summary>Starts both.</summary>
    /// <param name="state">Folder of everything that they keep.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="CommandException">A program is missing, or does not start.</exception>
    public static async Task<ClusterStores> StartAsync(string state, CancellationToken cancellation)
    {
        var (redis, azurite) = (Find(ClusterPrograms.Redis), Find(ClusterPrograms.Azurite));
        var stores = new ClusterStores();
        try
        {
            await stores.StartAsync("redis", redis, stores._redisPort, state, (port, folder) => ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder], cancellation);
            await stores.StartAsync("azurite", azurite, stores.BlobPort, state, AzuriteAccount.Arguments, cancellation);
            return stores;
        }
        catch
        {
            await stores.DisposeAsync();
            throw;
        }
    }

    /// <summary>How a silo that answers at <paramref name="address"/> is told to join the cluster of these stores.</summary>
    public string[] SiloArguments(Uri address) =>
    [
        "--RecBackend:DrainSeconds", "0",
        "--RecBackend:Cluster:Redis", $"127.0.0.1:{Text(_redisPort)}",
        "--RecBackend:Cluster:SiloPort", Text(Loopback.FreePort()),
        "--RecBackend:Cluster:AdvertisedAddress", "127.0.0.1",
        "--RecBackend:Cluster:Address", address.GetLeftPart(UriPartial.Authority),
        "--RecBackend:Cluster:Blobs:ConnectionString", AzuriteAccount.ConnectionString(BlobPort),
    ];

    /// <summary>Stops them.</summary>
    public async ValueTask DisposeAsync() => await Task.WhenAll(_processes.Select(process => process.DisposeAsync().AsTask()));

    private async Task StartAsync(string name, string program, int port, string state, Func<string, string, string[]> arguments, CancellationToken cancellation)
    {
        var folder = Directory.CreateDirectory(Path.Combine(state, name)).FullName;

        // In a session of its own: Ctrl-C of the terminal must not end it before the silos have stored what they have.
        var process = ChildProcess.StartProgram(name, "setsid", [program, .. arguments(Text(port), folder)], folder, Path.Combine(state, $"{name}.log"));
        _processes.Add(process);
        await process.ListeningAsync(port, cancellation);
    }

    private static string Find(string program) => ClusterPrograms.TryFind(program)
        ?? throw new CommandException($"{program} is missing: a cluster needs redis-server (apt-get install redis-server) and azurite-blob (npm install azurite) on the path");

    private static string Text(int port) => port.ToString(CultureInfo.InvariantCulture);
}
