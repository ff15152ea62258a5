using RecBackend.Bench.Peer;
using RecBackend.Cli;

namespace RecBackend.Bench.Tests.Peer;

public sealed class PeerProgramsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    [Theory]
    [InlineData("redis-server")]
    [InlineData("node")]
    [InlineData("onnxruntime-node")]
    public void What_is_missing_is_named_in_one_line(string missing)
    {
        foreach (var package in new[] { "fastify", "ioredis", "onnxruntime-node" }.Where(x => x != missing))
        {
            Directory.CreateDirectory(Path.Combine(_folder, "node_modules", package));
        }

        var refusal = Assert.Throws<CommandException>(() => PeerPrograms.Find(program => program == missing ? null : "/bin/" + program, _folder));

        Assert.Contains(missing, refusal.Message);
        Assert.DoesNotContain('\n', refusal.Message);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
