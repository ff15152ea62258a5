using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace RecBackend.Bench.Processes;

/// <summary>A server or gateway that this run started on a free loopback port and stops again.</summary>
internal sealed partial class ChildProcess : IAsyncDisposable
{
    private const int SigTerm = 15;
    private const int KeptLines = 40;

    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(20);

    private readonly string _name;
    private readonly Process _process;
    private readonly Queue<string> _output = new();

    private ChildProcess(string name, Process process, IPEndPoint endpoint)
    {
        _name = name;
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
    public static async Task<ChildProcess> StartAsync(string name, string assembly, IEnumerable<string> arguments, CancellationToken cancellation)
    {
        var endpoint = FreeEndpoint();
        var start = new ProcessStartInfo("dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetDirectoryName(assembly),
        };
        foreach (var argument in (string[])[assembly, "--urls", $"http://{endpoint}", .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        var child = new ChildProcess(name, new Process { StartInfo = start }, endpoint);
        try
        {
            child.Start();
            await child.UntilReadyAsync(cancellation);
            return child;
        }
        catch
        {
            await child.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _ = Kill(_process.Id, SigTerm);
            using var limit = new CancellationTokenSource(StopLimit);
            try
            {
                await _process.WaitForExitAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill();
            }
        }

        _process.Dispose();
    }

    private static IPEndPoint FreeEndpoint()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return (IPEndPoint)listener.LocalEndpoint;
    }

    private void Start()
    {
        _process.OutputDataReceived += (_, line) => Keep(line.Data);
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    private void Keep(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_output)
        {
            _output.Enqueue(line);
            if (_output.Count > KeptLines)
            {
                _output.Dequeue();
            }
        }
    }

    private async Task UntilReadyAsync(CancellationToken cancellation)
    {
        using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed < StartLimit && !_process.HasExited)
        {
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

        lock (_output)
        {
            throw new InvalidOperationException(
                $"The {_name} {(_process.HasExited ? $"ended with code {_process.ExitCode}" : $"was not ready within {StartLimit.TotalSeconds} s")}:\n{string.Join('\n', _output)}");
        }
    }

    // Process.Kill sends SIGKILL; a server asked to stop by SIGTERM ends what it has begun.
    [LibraryImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Kill(int process, int signal);
}
