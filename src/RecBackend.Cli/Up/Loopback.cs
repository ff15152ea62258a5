using System.Net;
using System.Net.Sockets;

namespace RecBackend.Cli.Up;

/// <summary>Ports of this machine.</summary>
internal static class Loopback
{
    /// <summary>A port that nobody listens on now.</summary>
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Makes sure that <paramref name="port"/> can be listened on.</summary>
    /// <exception cref="CommandException">It cannot.</exception>
    public static void RequireFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
        }
        catch (SocketException e)
        {
            throw new CommandException($"port {port} cannot be used ({e.Message}): stop what listens there, or name another with --port", e);
        }
    }
}
