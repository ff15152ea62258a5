using System.Net;
using System.Net.Sockets;
using RecBackend.Cli.Up;

namespace RecBackend.Cli.Tests.Up;

public class LocalStackTests
{
    private static readonly string Golden = Path.Combine(Installation.Root, "tests", "golden");

    [Fact]
    public async Task Taken_port_is_named_before_anything_is_started()
    {
        using var folder = new TemporaryFolder();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        var state = Path.Combine(folder.Path, "state");

        var error = await Assert.ThrowsAsync<CommandException>(() => Stack(port, state).RunAsync(_ => { }, default));

        Assert.Contains($"port {port}", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(state));
    }

    [Fact]
    public async Task State_in_use_is_named()
    {
        using var folder = new TemporaryFolder();
        using var other = new FileStream(Path.Combine(folder.Path, "up.lock"), FileMode.Create, FileAccess.ReadWrite, FileShare.None);

        var error = await Assert.ThrowsAsync<CommandException>(() => Stack(Loopback.FreePort(), folder.Path).RunAsync(_ => { }, default));

        Assert.Contains(folder.Path, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Loaded_rows_are_remembered_for_each_data_set()
    {
        using var folder = new TemporaryFolder();
        var loaded = LoadedData.Read(folder.Path, "one");
        Assert.False(loaded.HasItems);

        loaded.Record(0);
        loaded.Record(2000);

        Assert.Equal(2000, LoadedData.Read(folder.Path, "one").Rows);
        Assert.False(LoadedData.Read(folder.Path, "two").HasItems);
    }

    private static LocalStack Stack(int port, string state) =>
        new(new UpOptions(Path.Combine(Golden, "tiny-data"), Path.Combine(Golden, "tiny-bundle"), port, state));
}
