using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Peer;

/// <summary>What the peer is made of: programs of others, and a folder of this repository with packages from npm in it.</summary>
/// <param name="Redis">Path of redis-server.</param>
/// <param name="Node">Path of node.</param>
/// <param name="Folder">Folder of server.js and load.js.</param>
internal sealed record PeerPrograms(string Redis, string Node, string Folder)
{
    private static readonly string[] Packages = ["fastify", "ioredis", "onnxruntime-node"];

    /// <exception cref="CommandException">Something is missing; the message says what, and how to get it.</exception>
    public static PeerPrograms Find() => Find(ClusterPrograms.TryFind, Path.Combine(Installation.Root, "bench/peer"));

    /// <inheritdoc cref="Find()"/>
    internal static PeerPrograms Find(Func<string, string?> find, string folder)
    {
        var redis = find("redis-server") ?? throw new CommandException("the peer needs redis-server on the path (on Debian: apt-get install redis-server)");
        var node = find("node") ?? throw new CommandException("the peer needs node on the path (Node.js 20 or later)");
        return Packages.FirstOrDefault(package => !Directory.Exists(Path.Combine(folder, "node_modules", package))) is { } missing
            ? throw new CommandException($"the peer needs its packages, {missing} is missing: npm ci --prefix bench/peer")
            : new PeerPrograms(redis, node, folder);
    }
}
