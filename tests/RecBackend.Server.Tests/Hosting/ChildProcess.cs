using System.Diagnostics;
using System.Globalization;
using System.Text;
using RecBackend.Cli.Up;

namespace RecBackend.Server.Tests.Hosting;

/// <summary>A program of the product as a process of its own, on a port of its own.</summary>
internal sealed class ChildProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _output = new();

    private ChildProcess(string program, Uri address, IEnumerable<string> arguments)
    {
        Address = address;
        Client = new HttpClient { BaseAddress = address, Timeout = TimeSpan.FromSeconds(60) };
        var start = new ProcessStartInfo(Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal) ? Environment.ProcessPath! : "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in arguments.Prepend(address.GetLeftPart(UriPartial.Authority)).Prepend("--urls").Prepend(program))
        {
            start.ArgumentList.Add(argument);
        }

        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, line) => Take(line.Data);
        _process.ErrorDataReceived += (_, line) => Take(line.Data);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public Uri Address { get; }

    public HttpClient Client { get; }

    public int Id => _process.Id;

    public string Output
    {
        get
        {
            lock (_output)
            {
                return _output.ToString();
            }
        }
    }

    /// <summary>Starts a program of the product; its arguments may name its address.</summary>
    public static ChildProcess Start(string program, Func<Uri, IEnumerable<string>> arguments)
    {
        var address = FreeAddress();
        return new(program, address, arguments(address));
    }

    public static ChildProcess Server(string state, params string[] more) =>
        new(Checkout.Server, FreeAddress(), ["--RecBackend:State", state, "--RecBackend:Development", "true", "--RecBackend:Bundle", Checkout.TinyBundle, .. more]);

    public static ChildProcess Server(Uri address, string state) =>
        new(Checkout.Server, address, ["--RecBackend:State", state, "--RecBackend:Development", "true"]);

    public static ChildProcess Gateway(params Uri[] hosts) =>
        new(Checkout.Gateway, FreeAddress(), ["--RecBackend:Development", "true", .. hosts.SelectMany((host, i) => new[] { string.Create(CultureInfo.InvariantCulture, $"--Gateway:Destinations:{i}"), host.ToString() })]);

    /// <summary>Waits until a ranking would be answered by the model.</summary>
    public async Task<ChildProcess> ReadyAsync()
    {
        for (var i = 0; i < 1200; i++)
        {
            Assert.False(_process.HasExited, $"It ended at its start: {Output}");
            try
            {
                using var response = await Client.GetAsync("/healthz/ready");
                if (response.IsSuccessStatusCode)
                {
                    return this;
                }
            }
            catch (HttpRequestException)
            {
                // Not listening yet.
            }

            await Task.Delay(100);
        }

        Assert.Fail($"It was not ready after two minutes: {Output}");
        return this;
    }

    /// <summary>SIGKILL: nothing of the program runs any more.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>SIGTERM, then the exit status.</summary>
    public async Task<int> StopAsync()
    {
        await SignalAsync("-TERM");
        return await ExitAsync();
    }

    /// <summary>SIGSTOP: the program stands still, and its connections stay open.</summary>
    public Task PauseAsync() => SignalAsync("-STOP");

    /// <summary>SIGCONT.</summary>
    public Task ResumeAsync() => SignalAsync("-CONT");

    /// <summary>Waits for the process to end by itself.</summary>
    public async Task<int> ExitAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        await _process.WaitForExitAsync(patience.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        if (!_process.HasExited)
        {
            await KillAsync();
        }

        _process.Dispose();
    }

    private static Uri FreeAddress() => new($"http://127.0.0.1:{Loopback.FreePort()}");

    private async Task SignalAsync(string signal)
    {
        using var kill = Process.Start("kill", [signal, _process.Id.ToString(CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync();
    }

    private void Take(string? line)
    {
        lock (_output)
        {
            _output.AppendLine(line);
        }
    }
}
