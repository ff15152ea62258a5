using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace RecBackend.Cli.Up;

/// <summary>The processes that hold users, items and models: the server, or Redis, Azurite and the silos of a cluster.</summary>
internal sealed class LocalEngine : IAsyncDisposable
{
    private const string AzuriteAccount =
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="; // every Azurite's, and public

    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);

    private readonly List<ChildProcess> _stores = [];
    private readonly List<ChildProcess> _hosts = [];
    private readonly List<Uri> _addresses = [];

    private LocalEngine()
    {
    }

    /// <summary>Where its hosts answer the HTTP API.</summary>
    public IReadOnlyList<Uri> Addresses => _addresses;

    /// <summary>All its processes.</summary>
    public IReadOnlyList<ChildProcess> Processes => [.. _stores, .. _hosts];

    /// <summary>How a gateway is told of the hosts.</summary>
    public string[] GatewayArguments { get; private init; } = [];

    /// <summary>Starts the server with the embedded engine.</summary>
    /// <param name="state">Folder of everything that it keeps.</param>
    public static LocalEngine StartServer(string state)
    {
        var address = FreeAddress();
        var engine = new LocalEngine { GatewayArguments = ["--Gateway:Destinations:0", Text(address)] };
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
        if (!File.Exists(Installation.Silo))
        {
            throw new CommandException($"{Installation.Silo} is not there: a cluster needs the packages Microsoft.Orleans.* and MessagePack, and a build with them; `./rec setup` says whether they can be restored here");
        }

        var (redis, azurite) = (Find("redis-server"), Find("azurite-blob"));
        var first = FreeAddress();
        var engine = new LocalEngine { GatewayArguments = ["--RecBackend:Gateway:Cluster:Seeds:0", Text(first)] };
        try
        {
            var (redisPort, blobPort) = (Port(Loopback.FreePort()), Port(Loopback.FreePort()));
            await engine.StartStoreAsync("redis", redis, redisPort, state, folder => ["--port", redisPort, "--bind", "127.0.0.1", "--save", "", "--dir", folder], cancellation);
            await engine.StartStoreAsync(
                "azurite", azurite, blobPort, state,
                folder => ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", blobPort, "--location", folder],
                cancellation);
            for (var silo = 1; silo <= silos; silo++)
            {
                var address = silo == 1 ? first : FreeAddress();
                string[] cluster =
                [
                    "--RecBackend:DrainSeconds", "0",
                    "--RecBackend:Cluster:Redis", $"127.0.0.1:{redisPort}",
                    "--RecBackend:Cluster:SiloPort", Port(Loopback.FreePort()),
                    "--RecBackend:Cluster:AdvertisedAddress", "127.0.0.1",
                    "--RecBackend:Cluster:Address", Text(address),
                    "--RecBackend:Cluster:Blobs:ConnectionString", $"{AzuriteAccount};BlobEndpoint=http://127.0.0.1:{blobPort}/devstoreaccount1;",
                ];
                var process = engine.StartHost($"silo-{silo}", Installation.Silo, address, state, cluster);

                // One after the other: the first makes the list of silos that the others enter themselves in.
                await ListeningAsync(process, address.Port, cancellation);
            }

            return engine;
        }
        catch
        {
            await engine.DisposeAsync();
            throw;
        }
    }

    /// <summary>Path of a program that is on the path, or where what npm has is kept; or null.</summary>
    public static string? TryFind(string program)
    {
        var cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } set
            ? set
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Append(Path.Combine(cache, "recbackend", "azurite", "node_modules", ".bin"));
        return folders.Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);
    }

    /// <summary>Stops the hosts, all at once, and then what they store in.</summary>
    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_hosts.Select(host => host.DisposeAsync().AsTask()));
        await Task.WhenAll(_stores.Select(store => store.DisposeAsync().AsTask()));
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

    private async Task StartStoreAsync(string name, string program, string port, string state, Func<string, string[]> arguments, CancellationToken cancellation)
    {
        var folder = Directory.CreateDirectory(Path.Combine(state, name)).FullName;

        // In a session of its own: Ctrl-C of the terminal must not end it before the silos have stored what they have.
        var process = ChildProcess.StartProgram(name, "setsid", [program, .. arguments(folder)], folder, Path.Combine(state, $"{name}.log"));
        _stores.Add(process);
        await ListeningAsync(process, int.Parse(port, CultureInfo.InvariantCulture), cancellation);
    }

    private static async Task ListeningAsync(ChildProcess process, int port, CancellationToken cancellation)
    {
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < StartLimit;)
        {
            if (process.Exited.IsCompleted)
            {
                throw process.EndedTooEarly();
            }

            using var socket = new TcpClient();
            try
            {
                await socket.ConnectAsync(IPAddress.Loopback, port, cancellation);
                return;
            }
            catch (SocketException)
            {
                await Task.Delay(PollInterval, cancellation);
            }
        }

        throw new CommandException($"the {process.Name} does not listen within {StartLimit.TotalSeconds} s");
    }

    private static string Find(string program) => TryFind(program)
        ?? throw new CommandException($"{program} is missing: a cluster needs redis-server (apt-get install redis-server) and azurite-blob (npm install azurite) on the path");

    private static Uri FreeAddress() => new($"http://127.0.0.1:{Loopback.FreePort()}/");

    private static string Text(Uri address) => address.GetLeftPart(UriPartial.Authority);

    private static string Port(int port) => port.ToString(CultureInfo.InvariantCulture);
}
