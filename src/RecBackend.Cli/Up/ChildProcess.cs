using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace RecBackend.Cli.Up;

/// <summary>A server or gateway that this command started and stops again. Its output goes to a log file. The bench has this file too.</summary>
internal sealed partial class ChildProcess : IAsyncDisposable
{
    private const int SigTerm = 15;
    private const int LastLines = 25;

    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan ListenLimit = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);

    private readonly Process _process;
    private readonly StreamWriter _log;
    private readonly Queue<string> _last = new();
    private readonly Lock _writing = new();

    private ChildProcess(string name, Process process, StreamWriter log)
    {
        Name = name;
        _process = process;
        _log = log;
        Exited = WaitAsync();
    }

    /// <summary>What it is, for messages.</summary>
    public string Name { get; }

    /// <summary>Its number.</summary>
    public int Id => _process.Id;

    /// <summary>How it ended; only once it has.</summary>
    public int ExitCode => _process.ExitCode;

    /// <summary>Completes when the process has ended and its output is read.</summary>
    public Task Exited { get; }

    /// <summary>Starts a .NET program.</summary>
    /// <param name="name">What it is, for messages.</param>
    /// <param name="assembly">Path of its dll.</param>
    /// <param name="arguments">Its command line.</param>
    /// <param name="logFile">Where its output goes; begun anew. Null: only its end is kept.</param>
    /// <param name="environment">Variables that it sees beside those of this process.</param>
    public static ChildProcess Start(
        string name, string assembly, IEnumerable<string> arguments, string? logFile, IReadOnlyDictionary<string, string>? environment = null)
    {
        if (!File.Exists(assembly))
        {
            throw new CommandException($"{assembly} is not there; build the solution first (./rec does)");
        }

        // The host that runs this command runs the child too, so that both are of one .NET.
        var host = Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? Environment.ProcessPath! : "dotnet";
        return StartProgram(name, host, [assembly, .. arguments], Path.GetDirectoryName(assembly)!, logFile, environment);
    }

    /// <summary>Starts any program.</summary>
    /// <param name="name">What it is, for messages.</param>
    /// <param name="program">Its path, or its name on the path.</param>
    /// <param name="arguments">Its command line.</param>
    /// <param name="folder">The folder that it runs in.</param>
    /// <param name="logFile">Where its output goes; begun anew. Null: only its end is kept.</param>
    /// <param name="environment">Variables that it sees beside those of this process.</param>
    public static ChildProcess StartProgram(
        string name, string program, IEnumerable<string> arguments, string folder, string? logFile, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder,
        };
        foreach (var (variable, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[variable] = value;
        }

        var log = logFile is null ? StreamWriter.Null : new StreamWriter(logFile, append: false) { AutoFlush = true };
        var process = new Process { StartInfo = start };
        process.Start();
        return new ChildProcess(name, process, log);
    }

    /// <summary>Waits until it accepts connections on a port of loopback.</summary>
    /// <exception cref="CommandException">It ended, or does not listen in time.</exception>
    public async Task ListeningAsync(int port, CancellationToken cancellation)
    {
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < ListenLimit;)
        {
            if (Exited.IsCompleted)
            {
                throw EndedTooEarly();
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

        throw new CommandException($"the {Name} does not listen within {ListenLimit.TotalSeconds} s");
    }

    /// <summary>Why it ended, with the end of its output.</summary>
    public CommandException EndedTooEarly()
    {
        lock (_writing)
        {
            return new CommandException($"the {Name} ended with exit code {_process.ExitCode}; its last words:\n{string.Join('\n', _last)}");
        }
    }

    /// <summary>Asks the process to stop, and kills it if it does not within the grace time.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!Exited.IsCompleted)
        {
            _ = Kill(_process.Id, SigTerm);
            try
            {
                await Exited.WaitAsync(Grace);
            }
            catch (TimeoutException)
            {
                await Console.Error.WriteLineAsync($"rec: the {Name} did not stop within {Grace.TotalSeconds} s and is killed");
                _process.Kill(entireProcessTree: true);
                await Exited;
            }
        }

        _process.Dispose();
        await _log.DisposeAsync();
    }

    private async Task WaitAsync()
    {
        await Task.WhenAll(CopyAsync(_process.StandardOutput), CopyAsync(_process.StandardError));
        await _process.WaitForExitAsync();
    }

    private async Task CopyAsync(StreamReader output)
    {
        while (await output.ReadLineAsync() is { } line)
        {
            lock (_writing)
            {
                _log.WriteLine(line);
                _last.Enqueue(line);
                if (_last.Count > LastLines)
                {
                    _last.Dequeue();
                }
            }
        }
    }

    // Process.Kill sends SIGKILL; a server needs SIGTERM to finish what it has begun.
    [LibraryImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Kill(int process, int signal);
}
