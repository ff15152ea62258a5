using System.Diagnostics;
using System.Globalization;
using System.Net;
using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Processes;

/// <summary>A server, silo or gateway that this run started on a loopback port and stops again.</summary>
internal sealed class HostProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(50);

    private readonly ChildProcess _process;

    private HostProcess(ChildProcess process, IPEndPoint endpoint, IPEndPoint? http2)
    {
        _process = process;
        Endpoint = endpoint;
        Http2Endpoint = http2;
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint Endpoint { get; }

    /// <summary>Where it listens for HTTP/2 alone, if it was asked to: without TLS one endpoint cannot speak both versions.</summary>
    public IPEndPoint? Http2Endpoint { get; }

    /// <summary><see cref="Endpoint"/> as a base URL.</summary>
    public Uri Address => new($"http://{Endpoint}/");

    /// <summary>Its number.</summary>
    public int Id => _process.Id;

    /// <summary>What it is, for messages.</summary>
    public string Name => _process.Name;

    /// <summary>A port of loopback that nobody listens on now.</summary>
    public static IPEndPoint FreeEndpoint() => new(IPAddress.Loopback, Loopback.FreePort());

    /// <summary>Starts a program and waits until <c>/healthz/ready</c> says 200.</summary>
    /// <param name="name">What it is, for messages.</param>
    /// <param name="assembly">Its dll.</param>
    /// <param name="arguments">Its command line, without the address.</param>
    /// <param name="cancellation">Stops waiting, and the process.</param>
    /// <param name="environment">Variables that it sees beside those of this process.</param>
    /// <param name="http2">Whether it listens on a second port for HTTP/2.</param>
    /// <exception cref="CommandException">It ended, or was not ready in time.</exception>
    public static async Task<HostProcess> StartAsync(
        string name, string assembly, IEnumerable<string> arguments, CancellationToken cancellation, IReadOnlyDictionary<string, string>? environment = null, bool http2 = false)
    {
        var host = Start(name, assembly, FreeEndpoint(), arguments, environment, http2: http2 ? FreeEndpoint() : null);
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

    /// <summary>Starts a program and does not wait.</summary>
    public static HostProcess Start(
        string name,
        string assembly,
        IPEndPoint endpoint,
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string>? environment = null,
        string? logFile = null,
        IPEndPoint? http2 = null) =>
        new(ChildProcess.Start(name, assembly, [.. Listening(endpoint, http2), .. arguments], logFile, environment), endpoint, http2);

    /// <summary>Starts a program that is not of .NET and waits until <c>/healthz/ready</c> says 200.</summary>
    /// <param name="name">What it is, for messages.</param>
    /// <param name="program">Its path.</param>
    /// <param name="folder">The folder that it runs in.</param>
    /// <param name="endpoint">Where its command line tells it to listen.</param>
    /// <param name="arguments">Its command line.</param>
    /// <param name="cancellation">Stops waiting, and the process.</param>
    /// <exception cref="CommandException">It ended, or was not ready in time.</exception>
    public static async Task<HostProcess> StartProgramAsync(
        string name, string program, string folder, IPEndPoint endpoint, IEnumerable<string> arguments, CancellationToken cancellation)
    {
        var host = new HostProcess(ChildProcess.StartProgram(name, program, arguments, folder, logFile: null), endpoint, http2: null);
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

    /// <summary>Waits until it is ready to do what it is for.</summary>
    /// <exception cref="CommandException">It ended, or was not ready in time.</exception>
    public Task UntilReadyAsync(CancellationToken cancellation) => UntilAsync("/healthz/ready", status => status == HttpStatusCode.OK, "ready", cancellation);

    /// <summary>Waits until it takes calls, though it may have no model yet.</summary>
    /// <exception cref="CommandException">It ended, or did not answer in time.</exception>
    public Task UntilAnsweringAsync(CancellationToken cancellation) =>
        UntilAsync("/v1/cluster", status => status == HttpStatusCode.OK, "answering calls", cancellation);

    /// <summary>Bytes of memory that the process holds now.</summary>
    public long ResidentBytes() => Status("VmRSS:");

    /// <summary>The most that it ever held.</summary>
    public long PeakResidentBytes() => Status("VmHWM:");

    /// <summary>Processor time that it has used.</summary>
    public TimeSpan ProcessorTime() => ProcessorTime(_process.Id);

    /// <summary>Processor time that a process has used.</summary>
    public static TimeSpan ProcessorTime(int id)
    {
        using var process = Process.GetProcessById(id);
        return process.TotalProcessorTime;
    }

    public ValueTask DisposeAsync() => _process.DisposeAsync();

    private static string[] Listening(IPEndPoint endpoint, IPEndPoint? http2) => http2 is null
        ? ["--urls", $"http://{endpoint}"]
        : ["--Kestrel:Endpoints:Http1:Url", $"http://{endpoint}", "--Kestrel:Endpoints:Http2:Url", $"http://{http2}", "--Kestrel:Endpoints:Http2:Protocols", "Http2"];

    private long Status(string line)
    {
        var kilobytes = File.ReadLines($"/proc/{_process.Id}/status").First(x => x.StartsWith(line, StringComparison.Ordinal))[line.Length..].Replace("kB", "", StringComparison.Ordinal);
        return long.Parse(kilobytes, NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture) * 1024;
    }

    private async Task UntilAsync(string path, Func<HttpStatusCode, bool> reached, string what, CancellationToken cancellation)
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
                using var response = await client.GetAsync(new Uri(Address, path), cancellation);
                if (reached(response.StatusCode))
                {
                    return;
                }
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !cancellation.IsCancellationRequested)
            {
                // It does not listen yet.
            }

            await Task.Delay(PollInterval, cancellation);
        }

        throw new CommandException($"the {_process.Name} was not {what} within {StartLimit.TotalSeconds} s");
    }
}
