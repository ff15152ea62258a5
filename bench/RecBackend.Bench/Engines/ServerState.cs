namespace RecBackend.Bench.Engines;

/// <summary>Where the server keeps what, below its setting <c>RecBackend:State</c>.</summary>
internal static class ServerState
{
    public static string Engine(string state) => state;

    public static string Bundles(string state) => state;
}
