using System.Diagnostics;
using System.Net;
using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Processes;

/// <summary>A server or gateway that this run started on a free loopback port and stops again.</summary>
internal sealed class HostProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(90);

    private readonly ChildProcess _process;

    private HostProcess(ChildProcess process, IPEndPoint endpoint)
    {
        _process = process;
        Endpoint = endpoint;
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint Endpoint { get; }

    /// <summary>Starts a program and waits until <c>/healthz/ready</c> says 200.</summary>
    /// <param name="name">What it is, for messages.</param>
    /// <param name="assembly">Its dll.</param>
    /// <param name="arguments">Its command line, without the address.</param>
    /// <param name="cancellation">Stops waiting, and the process.</param>
    /// <exception cref="CommandException">It ended, or was not ready in time.</exception>
    public static async Task<HostProcess> StartAsync(string name, string assembly, IEnumerable<string> arguments, CancellationToken cancellation)
    {
        var endpoint = new IPEndPoint(IPAddress.Loopback, Loopback.FreePort());
        var host = new HostProcess(ChildProcess.Start(name, assembly, ["--urls", $"http://{endpoint}", .. arguments], logFile: null), endpoint);
        try
        {
            await host.UntilReadyAsync(cancellation);
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    public ValueTask DisposeAsync() => _process.DisposeAsync();

    private async Task UntilReadyAsync(CancellationToken cancellation)
    {
        using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed < StartLimit)
        {
            if (_process.Exited.IsCompleted)
            {
                throw _process.EndedTooEarly();
            }

            try
            {
                using var response = await client.GetAsync(new Uri($"http://{Endpoint}/healthz/ready"), cancellation);
                if (response.StatusCode == HttpStatusCode.OK)
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                // It does not listen yet.
            }

            await Task.Delay(100, cancellation);
        }

        throw new CommandException($"the {_process.Name} was not ready within {StartLimit.TotalSeconds} s");
    }
}
