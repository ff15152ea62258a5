using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using RecBackend.Cli.Up;

namespace RecBackend.Cluster.Tests.Hosting;

/// <summary>A program that serves on a free port of loopback, in a folder of its own, until it is disposed.</summary>
internal sealed class LoopbackServer : IAsyncDisposable
{
    private readonly Process _process;
    private readonly DirectoryInfo _folder;

    private LoopbackServer(Process process, DirectoryInfo folder, int port) => (_process, _folder, Port) = (process, folder, port);

    public int Port { get; }

    public static async Task<LoopbackServer> StartAsync(string program, Func<string, int, string[]> arguments)
    {
        var folder = Directory.CreateTempSubdirectory("recbackend-");
        var port = Loopback.FreePort();
        var start = new ProcessStartInfo(program, arguments(folder.FullName, port)) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = folder.FullName };
        var process = Process.Start(start) ?? throw new InvalidOperationException($"{program} does not start.");
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        var server = new LoopbackServer(process, folder, port);
        for (var tries = 0; tries < 300; tries++)
        {
            using var socket = new TcpClient();
            try
            {
                await socket.ConnectAsync(IPAddress.Loopback, port);
                return server;
            }
            catch (SocketException) when (!process.HasExited)
            {
                await Task.Delay(100);
            }
        }

        await server.DisposeAsync();
        throw new InvalidOperationException($"{program} does not listen.");
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        await _process.WaitForExitAsync();
        _process.Dispose();
        _folder.Delete(recursive: true);
    }
}
