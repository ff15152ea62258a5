using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
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
    public static byte[] Pack(string version) => Pack(version, ReadManifest(), []);

    /// <summary>A zip of a model that gives other numbers than the tiny one: each item has the ID embedding of another one, and its categories and attributes mean something else to the encoder.</summary>
    /// <param name="version">Its version.</param>
    /// <param name="turn">By how many places rows and vocabularies are turned; 0 leaves the tiny model as it is.</param>
    public static byte[] Turned(string version, int turn)
    {
        const string Table = "items.safetensors";
        var manifest = ReadManifest();
        foreach (var input in manifest["item_inputs"]!["attributes"]!.AsArray().Append(manifest["item_inputs"]!["categories"]))
        {
            var vocabulary = input!["vocabulary"]!.AsArray().Select(value => (string)value!).ToList();
            input["vocabulary"] = new JsonArray([.. vocabulary.Skip(turn).Concat(vocabulary.Take(turn)).Select(value => (JsonNode)value)]);
        }

        var table = File.ReadAllBytes(Path.Combine(Checkout.TinyBundle, Table));
        var header = 8 + (int)BitConverter.ToInt64(table);
        var embedding = JsonNode.Parse(table.AsSpan(8, header - 8))!["embedding"]!;
        var offsets = embedding["data_offsets"]!.AsArray();
        var row = sizeof(float) * (int)embedding["shape"]![1]!;

        // The first row is that of unknown items.
        var rows = table.AsSpan((header + (int)offsets[0]! + row)..(header + (int)offsets[1]!));
        byte[] turned = [.. rows[(turn * row)..], .. rows[..(turn * row)]];
        turned.CopyTo(rows);
        manifest["files"]![Table] = Convert.ToHexStringLower(SHA256.HashData(table));
        return Pack(version, manifest, new() { [Table] = table });
    }

    private static JsonNode ReadManifest() => JsonNode.Parse(File.ReadAllText(Path.Combine(Checkout.TinyBundle, "manifest.json")))!;

    private static byte[] Pack(string version, JsonNode manifest, Dictionary<string, byte[]> others)
    {
        var bytes = new MemoryStream();
        using (var zip = new ZipArchive(bytes, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var file in Directory.EnumerateFiles(Checkout.TinyBundle).Where(file => Path.GetFileName(file) != "manifest.json"))
            {
                using var entry = zip.CreateEntry(Path.GetFileName(file)).Open();
                entry.Write(others.GetValueOrDefault(Path.GetFileName(file)) ?? File.ReadAllBytes(file));
            }

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
