using System.Diagnostics;
using System.Text;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Server.Tests;

public sealed class StartTests
{
    [Theory]
    [InlineData("RecBackend:Scoring:QueueLength", "-5")]
    [InlineData("RecBackend:Catalog:Precision", "quarter")]
    [InlineData("RecBackend:Limits:Candidats", "5")]
    [InlineData("RecBackend:Keys:0:Hash", "nonsense")]
    [InlineData("RecBackend:Stat", "x")]
    [InlineData("RecBackend:DrainSeconds", "-1")]
    [InlineData("RecBackend:DrainSeconds", "soon")]
    [InlineData("RecBackend:Cluster:Address", "nowhere")]
    [InlineData("RecBackend:Cluster:Redis", "localhost")]
    [InlineData("RecBackend:Bundle", "nowhere.zip")]
    public async Task Wrong_setting_ends_the_start_with_one_line_that_names_it(string key, string value)
    {
        using var state = new StateFolder();
        await using var server = ChildProcess.Server(state.Path, $"--{key}", value);
        Assert.Equal(1, await server.ExitAsync());
        var line = Assert.Single(server.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries), text => text.StartsWith("recbackend-server:", StringComparison.Ordinal));
        Assert.Contains(key.Split(':')[^1], line, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", server.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task State_folder_that_cannot_be_made_ends_the_start_with_one_line()
    {
        using var state = new StateFolder();
        var file = Path.Combine(state.Path, "file");
        await File.WriteAllTextAsync(file, "not a folder");
        await using var server = ChildProcess.Server(Path.Combine(file, "state"));
        Assert.Equal(1, await server.ExitAsync());
        Assert.Contains("recbackend-server:", server.Output, StringComparison.Ordinal);
        Assert.Contains(file, server.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", server.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Address_in_use_ends_the_start_with_one_line()
    {
        using var first = new StateFolder();
        using var second = new StateFolder();
        await using var server = await ChildProcess.Server(first.Path).ReadyAsync();
        await using var late = ChildProcess.Server(server.Address, second.Path);
        Assert.Equal(1, await late.ExitAsync());
        Assert.Contains("address already in use", late.Output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Read_only_disk_ends_the_start_with_one_line()
    {
        using var disk = TinyDisk.Mount("ro,size=1m");
        await using var server = ChildProcess.Server(Path.Combine(disk.Path, "state"));
        Assert.Equal(1, await server.ExitAsync());
        Assert.Contains(disk.Path, server.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", server.Output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Full_disk_refuses_writes_by_name_and_damages_nothing()
    {
        using var disk = TinyDisk.Mount("size=6m");
        await using var server = await ChildProcess.Server(disk.Path).ReadyAsync();
        await server.LoadItemsAsync();
        var refused = "";
        for (var i = 0; i < 200 && refused.Length == 0; i++)
        {
            using var content = new StringContent($$"""{"title":"big","text":"{{new string((char)('a' + (i % 26)), 90_000)}}"}""", Encoding.UTF8, "application/json");
            using var response = await server.Client.PutAsync($"/v1/items/big{i}", content);
            refused = response.IsSuccessStatusCode ? "" : $"{(int)response.StatusCode} {await response.Content.ReadAsStringAsync()}";
        }

        Assert.StartsWith("503", refused, StringComparison.Ordinal);
        Assert.Contains("storage_full", refused, StringComparison.Ordinal);

        // What was stored is still read, and ranked.
        using var item = await server.Client.GetAsync("/v1/items/i01");
        Assert.True(item.IsSuccessStatusCode);
        using var rank = new StringContent("""{"user":"u","items":["i01","big0"]}""");
        using var ranking = await server.Client.PostAsync("/v1/rank", rank);
        Assert.Contains("\"unknown\":[]", await ranking.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    /// <summary>A small file system in memory, where the tests may mount one.</summary>
    private sealed class TinyDisk : IDisposable
    {
        private TinyDisk(string path) => Path = path;

        public string Path { get; }

        public static TinyDisk Mount(string options)
        {
            Skip.IfNot(OperatingSystem.IsLinux() && Environment.UserName == "root", "Mounting a small disk needs root on Linux.");
            var path = Directory.CreateTempSubdirectory("recbackend-disk-").FullName;
            var mounted = Run("mount", "-t", "tmpfs", "-o", options, "tmpfs", path);
            Skip.IfNot(mounted == 0, "The machine does not let the tests mount a disk.");
            return new TinyDisk(path);
        }

        public void Dispose()
        {
            Run("umount", "-l", Path);
            Directory.Delete(Path);
        }

        private static int Run(string program, params string[] arguments)
        {
            using var process = Process.Start(program, arguments);
            process.WaitForExit();
            return process.ExitCode;
        }
    }
}
