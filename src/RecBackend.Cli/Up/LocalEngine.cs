namespace RecBackend.Cli.Up;

/// <summary>The processes that hold users, items and models: the server, or Redis, Azurite and the silos of a cluster.</summary>
internal sealed class LocalEngine : IAsyncDisposable
{
    private readonly ClusterStores? _stores;
    private readonly List<ChildProcess> _hosts = [];
    private readonly List<Uri> _addresses = [];

    private LocalEngine(ClusterStores? stores) => _stores = stores;

    /// <summary>Where its hosts answer the HTTP API.</summary>
    public IReadOnlyList<Uri> Addresses => _addresses;

    /// <summary>All its processes.</summary>
    public IReadOnlyList<ChildProcess> Processes => [.. _stores?.Processes ?? [], .. _hosts];

    /// <summary>How a gateway is told of the hosts.</summary>
    public string[] GatewayArguments { get; private init; } = [];

    /// <summary>Starts the server with the embedded engine.</summary>
    /// <param name="state">Folder of everything that it keeps.</param>
    public static LocalEngine StartServer(string state)
    {
        var address = FreeAddress();
        var engine = new LocalEngine(stores: null) { GatewayArguments = ["--Gateway:Destinations:0", Text(address)] };
        engine.StartHost("server", Installation.Server, address, state, []);
        return engine;
    }

    /// <summary>Starts Redis, Azurite and silos that have both roles.</summary>
    /// <param name="state">Folder of everything that they keep.</param>
    /// <param name="silos">How many silos.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="CommandException">A program is missing, or does not start.</exception>
    public static async Task<LocalEngine> StartClusterAsync(string state, int silos, CancellationToken cancellation)
    {
        var program = Installation.RequireSilo();
        var first = FreeAddress();
        var engine = new LocalEngine(await ClusterStores.StartAsync(state, cancellation)) { GatewayArguments = ["--RecBackend:Gateway:Cluster:Seeds:0", Text(first)] };
        try
        {
            for (var silo = 1; silo <= silos; silo++)
            {
                var address = silo == 1 ? first : FreeAddress();
                var process = engine.StartHost($"silo-{silo}", program, address, state, engine._stores!.SiloArguments(address));

                // One after the other: the first makes the list of silos that the others enter themselves in.
                await process.ListeningAsync(address.Port, cancellation);
            }

            return engine;
        }
        catch
        {
            await engine.DisposeAsync();
            throw;
        }
    }

    /// <summary>Stops the hosts, all at once, and then what they store in.</summary>
    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_hosts.Select(host => host.DisposeAsync().AsTask()));
        if (_stores is not null)
        {
            await _stores.DisposeAsync();
        }
    }

    private ChildProcess StartHost(string name, string program, Uri address, string state, IEnumerable<string> more)
    {
        var process = ChildProcess.Start(
            name,
            program,
            ["--urls", Text(address), "--RecBackend:State", Path.Combine(state, name), "--RecBackend:Development", "true", .. more],
            Path.Combine(state, $"{name}.log"));
        _hosts.Add(process);
        _addresses.Add(address);
        return process;
    }

    private static Uri FreeAddress() => new($"http://127.0.0.1:{Loopback.FreePort()}/");

    private static string Text(Uri address) => address.GetLeftPart(UriPartial.Authority);
}
