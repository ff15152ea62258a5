using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Cluster.Tests.Silo;

/// <summary>The small bundle and catalogue of the tests, told to a silo.</summary>
internal static class TinyModel
{
    /// <summary>Stores the tiny bundle under a version and activates it.</summary>
    public static async Task ActivateAsync(ChildProcess silo, string version = "tiny")
    {
        await PushAsync(silo, Pack(version));
        using var activated = await silo.Client.PostAsync($"/v1/models/{version}/activate?wait=true", null);
        Assert.True(activated.IsSuccessStatusCode, await activated.Content.ReadAsStringAsync());
    }

    /// <summary>Stores a bundle; waits for the silo to answer first.</summary>
    public static async Task PushAsync(ChildProcess silo, byte[] zip)
    {
        await ListeningAsync(silo);
        using var content = new ByteArrayContent(zip);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/zip");
        using var stored = await silo.Client.PostAsync("/v1/models", content);
        Assert.True(stored.IsSuccessStatusCode, await stored.Content.ReadAsStringAsync());
    }

    /// <summary>Waits until calls are let through; the silo may have no model yet.</summary>
    public static async Task ListeningAsync(ChildProcess silo)
    {
        for (var tries = 0; tries < 600; tries++)
        {
            try
            {
                using var models = await silo.Client.GetAsync("/v1/models");
                if (models.StatusCode != HttpStatusCode.ServiceUnavailable)
                {
                    Assert.True(models.IsSuccessStatusCode, await models.Content.ReadAsStringAsync());
                    return;
                }
            }
            catch (HttpRequestException)
            {
                // Not listening yet.
            }

            await Task.Delay(100);
        }

        Assert.Fail($"The silo did not start: {silo.Output}");
    }

    /// <summary>A zip of the tiny bundle under another version.</summary>
    public static byte[] Pack(string version)
    {
        var bytes = new MemoryStream();
        using (var zip = new ZipArchive(bytes, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var file in Directory.EnumerateFiles(Checkout.TinyBundle).Where(file => Path.GetFileName(file) != "manifest.json"))
            {
                zip.CreateEntryFromFile(file, Path.GetFileName(file));
            }

            var manifest = JsonNode.Parse(File.ReadAllText(Path.Combine(Checkout.TinyBundle, "manifest.json")))!;
            manifest["version"] = version;
            using var writer = new StreamWriter(zip.CreateEntry("manifest.json").Open());
            writer.Write(manifest.ToJsonString());
        }

        return bytes.ToArray();
    }

    /// <summary>Stores the tiny catalogue.</summary>
    public static async Task LoadItemsAsync(ChildProcess silo)
    {
        using var content = new StringContent(await File.ReadAllTextAsync(Checkout.TinyData("items.jsonl")), Encoding.UTF8, "application/x-ndjson");
        using var response = await silo.Client.PostAsync("/v1/items/batch", content);
        Assert.Equal(50, (int)JsonNode.Parse(await response.Content.ReadAsStringAsync())!["accepted"]!);
    }
}
