using System.IO.Compression;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Server.Tests;

public sealed class ConfiguredBundleTests
{
    [Fact]
    public async Task Activations_by_calls_outlive_a_restart_until_another_bundle_is_configured()
    {
        using var state = new StateFolder();
        using var bundles = new StateFolder();
        var third = Pack(bundles.Path, "third");
        await using (var first = await ChildProcess.Server(state.Path).ReadyAsync())
        {
            await ActivateAsync(first, "second", Pack(bundles.Path, "second"));
            await ActivateAsync(first, "third", third);
            Assert.Equal(0, await first.StopAsync());
        }

        // The configured bundle is now neither the active one nor the one before it.
        await using (var again = await ChildProcess.Server(state.Path).ReadyAsync())
        {
            await UntilAsync(again, "was activated since");
            Assert.Equal("third", await ActiveAsync(again));
            Assert.Equal(0, await again.StopAsync());
        }

        var fourth = Pack(bundles.Path, "fourth");
        await using var changed = await ChildProcess.Server(state.Path, "--RecBackend:Bundle", fourth).ReadyAsync();
        await UntilAsync(changed, "Started: model fourth");
        Assert.Equal("fourth", await ActiveAsync(changed));
    }

    /// <summary>A zip of the tiny bundle under another version.</summary>
    private static string Pack(string folder, string version)
    {
        var path = Path.Combine(folder, version + ".zip");
        ZipFile.CreateFromDirectory(Checkout.TinyBundle, path);
        using var zip = ZipFile.Open(path, ZipArchiveMode.Update);
        var manifest = JsonNode.Parse(File.ReadAllText(Path.Combine(Checkout.TinyBundle, "manifest.json")))!;
        manifest["version"] = version;
        zip.GetEntry("manifest.json")!.Delete();
        using var writer = new StreamWriter(zip.CreateEntry("manifest.json").Open());
        writer.Write(manifest.ToJsonString());
        return path;
    }

    private static async Task ActivateAsync(ChildProcess server, string version, string zip)
    {
        using var content = new ByteArrayContent(await File.ReadAllBytesAsync(zip));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/zip");
        foreach (var (path, body) in new[] { ("/v1/models", (HttpContent?)content), ($"/v1/models/{version}/activate?wait=true", null) })
        {
            using var response = await server.Client.PostAsync(path, body);
            Assert.True(response.IsSuccessStatusCode, await response.Content.ReadAsStringAsync());
        }

        Assert.Equal(version, await ActiveAsync(server));
    }

    private static async Task<string> ActiveAsync(ChildProcess server) =>
        (string)JsonNode.Parse(await server.Client.GetStringAsync("/v1/models"))!["active"]!;

    /// <summary>Waits for a line of the log: the configured bundle is looked at after the server is ready.</summary>
    private static async Task UntilAsync(ChildProcess server, string line)
    {
        for (var i = 0; i < 600 && !server.Output.Contains(line, StringComparison.Ordinal); i++)
        {
            await Task.Delay(100);
        }

        Assert.Contains(line, server.Output, StringComparison.Ordinal);
    }
}
