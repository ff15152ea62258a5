using System.Net.Sockets;
using System.Text.Json;
using RecBackend.Cli.Models;
using RecBackend.Cli.Up;
using RecBackend.Client;

namespace RecBackend.Cli.Tests.Up;

/// <summary>The real server and gateway as child processes, with the tiny bundle that was trained on the tiny data.</summary>
public class UpTests
{
    private static readonly string Golden = Path.Combine(Installation.Root, "tests", "golden");
    private static readonly string Data = Path.Combine(Golden, "tiny-data");
    private static readonly string Bundle = Path.Combine(Golden, "tiny-bundle");
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(4);

    [Fact]
    public async Task Evaluation_over_the_gateway_gives_the_metrics_that_training_reported()
    {
        using var folder = new TemporaryFolder();
        var port = Loopback.FreePort();
        var offline = JsonDocument.Parse(File.ReadAllText(Path.Combine(Bundle, "manifest.json"))).RootElement.GetProperty("metrics").GetProperty("test");

        var report = await WhileUpAsync(port, folder.Path, async _ =>
        {
            var (code, output) = await InvokeAsync("eval", "--data", Data, "--bundle", Bundle, "--url", $"http://127.0.0.1:{port}", "--skip-load", "--json");
            Assert.Equal(0, code);
            return JsonDocument.Parse(output.TrimEnd().Split('\n')[^1]).RootElement;
        });

        foreach (var metric in new[] { "rows", "auc", "gauc", "logloss", "ece" })
        {
            Assert.Equal(offline.GetProperty(metric).GetDouble(), report.GetProperty(metric).GetDouble(), 1e-3);
        }
    }

    [Fact]
    public async Task Second_start_tells_no_event_twice_and_finds_everything_again()
    {
        using var folder = new TemporaryFolder();
        var user = File.ReadLines(Path.Combine(Data, "events.csv")).Skip(1).First().Split(',')[0];

        var first = await WhileUpAsync(Loopback.FreePort(), folder.Path, client => client.GetUserAsync(user));
        var second = await WhileUpAsync(Loopback.FreePort(), folder.Path, client => client.GetUserAsync(user));

        Assert.True(first!.Impressions > 0);
        Assert.Equal(first, second);
    }

    [Fact]
    public async Task Bundle_that_was_activated_by_a_call_still_answers_after_the_next_start()
    {
        using var folder = new TemporaryFolder();
        var version = BundleFile.Open(Bundle).Version;
        var other = CopyAs("another", Path.Combine(folder.Path, "another"));
        var state = Path.Combine(folder.Path, "state");

        var first = await WhileUpAsync(Loopback.FreePort(), state, async client =>
        {
            var active = (await client.ListModelsAsync()).Active;
            await using var zip = BundleFile.Open(other).OpenZip();
            await client.PushModelAsync(zip);
            await Activation.WaitAsync(client, await client.ActivateModelAsync("another"), "activating", default);
            return active;
        });
        var second = await WhileUpAsync(Loopback.FreePort(), state, async client => (await client.ListModelsAsync()).Active);

        Assert.Equal((version, "another"), (first, second));
    }

    [SkippableFact]
    public async Task Second_start_of_a_cluster_finds_users_items_and_model_again()
    {
        Skip.IfNot(File.Exists(Installation.Silo), "The silo is not built: the packages of the cluster engine cannot be restored here.");
        Skip.IfNot(ClusterPrograms.TryFind(ClusterPrograms.Redis) is not null && ClusterPrograms.TryFind(ClusterPrograms.Azurite) is not null, "redis-server or azurite-blob is not installed.");
        using var folder = new TemporaryFolder();
        var user = File.ReadLines(Path.Combine(Data, "events.csv")).Skip(1).First().Split(',')[0];

        var first = await WhileUpAsync(Loopback.FreePort(), folder.Path, silos: 2, client => client.GetUserAsync(user));
        var second = await WhileUpAsync(Loopback.FreePort(), folder.Path, silos: 3, client => client.GetUserAsync(user));

        Assert.True(first!.Impressions > 0);
        Assert.Equal(first, second);
    }

    [Fact]
    public async Task Evaluation_on_a_state_that_is_not_the_history_is_refused()
    {
        using var folder = new TemporaryFolder();
        var port = Loopback.FreePort();
        var row = File.ReadLines(Path.Combine(Data, "events.csv")).Last().Split(',');

        var error = await WhileUpAsync(port, folder.Path, async client =>
        {
            await client.SendEventsAsync([new InteractionEvent { EventId = "more", Type = "impression", User = row[0], Item = row[1], Timestamp = 1 }]);
            return await Assert.ThrowsAsync<CommandException>(() => InvokeAsync("eval", "--data", Data, "--url", $"http://127.0.0.1:{port}", "--skip-load"));
        });

        Assert.Contains("fresh --state", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Server_that_cannot_start_is_named_with_its_last_words()
    {
        using var folder = new TemporaryFolder();
        folder.Write("server", "a file where the server wants its folder");

        var error = await Assert.ThrowsAsync<CommandException>(() => Stack(Loopback.FreePort(), folder.Path).RunAsync(_ => { }, default).WaitAsync(Limit));

        Assert.Contains("the server ended with exit code", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Does something while the stack is up, then stops it and makes sure that nobody listens any more.</summary>
    private static Task<T> WhileUpAsync<T>(int port, string state, Func<RecBackendClient, Task<T>> use) => WhileUpAsync(port, state, silos: 0, use);

    private static async Task<T> WhileUpAsync<T>(int port, string state, int silos, Func<RecBackendClient, Task<T>> use)
    {
        using var stop = new CancellationTokenSource();
        using var client = new RecBackendClient(new Uri($"http://127.0.0.1:{port}"));
        var ready = new TaskCompletionSource();
        var running = Stack(port, state, silos).RunAsync(_ => ready.SetResult(), stop.Token);
        T result;
        try
        {
            await await Task.WhenAny(ready.Task, running).WaitAsync(Limit);
            result = await use(client);
        }
        finally
        {
            await stop.CancelAsync();
            await running.WaitAsync(Limit);
        }

        using var probe = new TcpClient();
        await Assert.ThrowsAnyAsync<SocketException>(() => probe.ConnectAsync("127.0.0.1", port));
        return result;
    }

    private static async Task<(int Code, string Output)> InvokeAsync(params string[] arguments)
    {
        var output = new StringWriter();
        var before = Console.Out;
        Console.SetOut(output);
        try
        {
            var code = await RecCommand.Create().Parse(arguments).InvokeAsync(new() { EnableDefaultExceptionHandler = false });
            return (code, output.ToString());
        }
        finally
        {
            Console.SetOut(before);
        }
    }

    /// <summary>A copy of the tiny bundle under another version.</summary>
    private static string CopyAs(string version, string folder)
    {
        Directory.CreateDirectory(folder);
        foreach (var file in Directory.EnumerateFiles(Bundle))
        {
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        }

        var manifest = Path.Combine(folder, "manifest.json");
        File.WriteAllText(manifest, File.ReadAllText(manifest).Replace(BundleFile.Open(Bundle).Version, version, StringComparison.Ordinal));
        return folder;
    }

    private static LocalStack Stack(int port, string state, int silos = 0) => new(new UpOptions(Data, Bundle, port, state, silos));
}
