using System.Net;
using System.Net.Sockets;

namespace RecBackend.Cli.Up;

/// <summary>Ports of this machine. The bench and the tests have this file too.</summary>
internal static class Loopback
{
    // Below those that the system takes for outgoing connections (32768 and up): none of these can take a port between the answer and its use.
    private const int First = 10_000;
    private const int End = 32_768;

    private static readonly HashSet<int> Given = [];

    /// <summary>A port that nobody listens on now, and that this process was not told before.</summary>
    /// <exception cref="InvalidOperationException">None was found.</exception>
    public static int FreePort()
    {
        lock (Given)
        {
            for (var tries = 0; tries < 1_000; tries++)
            {
                var port = Random.Shared.Next(First, End);
                if (!Given.Contains(port) && CanListen(port))
                {
                    Given.Add(port);
                    return port;
                }
            }
        }

        throw new InvalidOperationException($"No port between {First} and {End} is free.");
    }

    private static bool CanListen(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
