namespace RecBackend.Gateway.Routing;

/// <summary>Connections to hosts.</summary>
internal static class ProxyConnections
{
    public static void Configure(SocketsHttpHandler handler)
    {
        // The number of requests under way is bounded by the admission limits; a second bound here would only queue unseen.
        handler.MaxConnectionsPerServer = int.MaxValue;
        handler.EnableMultipleHttp2Connections = true;

        // A host that does not accept within a second is down for a service of milliseconds.
        handler.ConnectTimeout = TimeSpan.FromSeconds(1);

        // Shorter than the hosts keep theirs (150 s), so that no request is sent into a connection that is being closed.
        handler.PooledConnectionIdleTimeout = TimeSpan.FromMinutes(2);

        // So that a changed DNS answer is noticed.
        handler.PooledConnectionLifetime = TimeSpan.FromMinutes(10);
    }
}
