using System.Globalization;
using RecBackend.Bench.Processes;
using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Peer;

/// <summary>Redis, filled, and the Node.js service in front of it.</summary>
internal sealed class PeerStack : IAsyncDisposable
{
    private readonly ChildProcess _redis;
    private readonly HostProcess _service;

    private PeerStack(ChildProcess redis, HostProcess service)
    {
        _redis = redis;
        _service = service;
    }

    /// <summary>Where it ranks.</summary>
    public Uri Address => _service.Address;

    /// <summary>Starts both and loads the records of <paramref name="records"/>.</summary>
    /// <param name="programs">What to start.</param>
    /// <param name="bundle">Folder of the bundle whose ranker is run.</param>
    /// <param name="records">A file of <see cref="PeerRecords"/>.</param>
    /// <param name="workers">Processes of the service.</param>
    /// <param name="tcp">Whether the service reaches Redis over TCP instead of a Unix socket.</param>
    /// <param name="folder">Takes the socket.</param>
    /// <param name="cancellation">Stops what was started.</param>
    /// <exception cref="CommandException">Something does not start.</exception>
    public static async Task<PeerStack> StartAsync(PeerPrograms programs, string bundle, string records, int workers, bool tcp, string folder, CancellationToken cancellation)
    {
        var port = Text(Loopback.FreePort());
        var socket = Path.Combine(folder, "redis.sock");
        var redis = ChildProcess.StartProgram(
            "redis",
            programs.Redis,
            ["--port", port, "--bind", "127.0.0.1", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", folder],
            folder,
            logFile: null);
        try
        {
            await redis.ListeningAsync(int.Parse(port, CultureInfo.InvariantCulture), cancellation);
            var way = tcp ? port : socket;
            await using (var loader = ChildProcess.StartProgram("peer's loader", programs.Node, ["load.js", "--redis", way, "--file", records], programs.Folder, logFile: null))
            {
                await loader.Exited.WaitAsync(cancellation);
                if (loader.ExitCode != 0)
                {
                    throw loader.EndedTooEarly();
                }
            }

            var endpoint = HostProcess.FreeEndpoint();
            var service = await HostProcess.StartProgramAsync(
                "peer",
                programs.Node,
                programs.Folder,
                endpoint,
                ["server.js", "--port", Text(endpoint.Port), "--redis", way, "--bundle", bundle, "--workers", Text(workers)],
                cancellation);
            return new PeerStack(redis, service);
        }
        catch
        {
            await redis.DisposeAsync();
            throw;
        }
    }

    /// <summary>What Redis, the service and its workers have used.</summary>
    public TimeSpan ProcessorTime() => new[] { _redis.Id, _service.Id }.Concat(Children(_service.Id)).Aggregate(TimeSpan.Zero, (sum, id) => sum + HostProcess.ProcessorTime(id));

    public async ValueTask DisposeAsync()
    {
        await _service.DisposeAsync();
        await _redis.DisposeAsync();
    }

    private static IEnumerable<int> Children(int process) =>
        File.ReadAllText($"/proc/{process}/task/{process}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(id => int.Parse(id, CultureInfo.InvariantCulture));

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
