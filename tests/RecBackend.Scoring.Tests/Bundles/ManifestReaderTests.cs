using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Core.Models;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Tests.Bundles;

public sealed class ManifestReaderTests
{
    /// <summary>Path of a key, what to put there (null: remove the key), and the key that the refusal must name.</summary>
    public static TheoryData<string, string?, string> Contradictions => new()
    {
        { "version", "\"../x\"", "version" },
        { "version", "\"\"", "version" },
        { "version", $"\"{new string('a', 65)}\"", "version" },
        { "version", null, "version" },
        { "recipe", "\"\"", "recipe" },
        { "created", "\"yesterday\"", "created" },
        { "format", "\"1\"", "format" },
        { "dims", null, "dims" },
        { "dims.row", "24", "dims.row" },
        { "dims.item_id", "0", "dims.item_id" },
        { "dims.representation", "-12", "dims.representation" },
        { "dims.history", "201", "dims.history" },
        { "dims.user_state", "1e9", "dims.user_state" },
        { "dims.statistics", "2", "dims.statistics" },
        { "dims.user_statistics", "3", "dims.user_statistics" },
        { "dims.profile", "0", "dims.profile" },
        { "dims.context", "5", "dims.context" },
        { "files", "{}", "item_encoder.onnx" },
        { "files.extra/name", "\"00\"", "files.extra/name" },
        { "files.manifest.json", $"\"{new string('0', 64)}\"", "files.manifest.json" },
        { "files.ranker.onnx", "\"ABC\"", "files.ranker.onnx" },
        { "item_inputs", "{}", "item_inputs" },
        { "item_inputs.text.length", "0", "item_inputs.text.length" },
        { "item_inputs.text.tokenizer", "\"../../etc/passwd\"", "item_inputs.text.tokenizer" },
        { "item_inputs.categories.vocabulary", "[\"a\", \"a\"]", "item_inputs.categories.vocabulary" },
        { "item_inputs.attributes", "[{\"name\": \"a\", \"vocabulary\": []}, {\"name\": \"a\", \"vocabulary\": []}]", "item_inputs.attributes" },
        { "item_inputs.image", "{\"height\": 8, \"width\": 8, \"mean\": [0, 0], \"std\": [1, 1, 1]}", "item_inputs.image.mean" },
        { "item_inputs.image", "{\"height\": 8, \"width\": 8, \"mean\": [0, 0, 0], \"std\": [1, 0, 1]}", "item_inputs.image.std" },
        { "item_inputs.image", "{\"height\": 0, \"width\": 8, \"mean\": [0, 0, 0], \"std\": [1, 1, 1]}", "item_inputs.image.height" },
        { "item_inputs.image_features.length", "0", "item_inputs.image_features.length" },
        { "statistics", "[{\"name\": \"fame\"}, {\"name\": \"age\"}, {\"name\": \"age\"}]", "statistics[0].name" },
        { "statistics", "[{\"name\": \"click_rate\"}, {\"name\": \"age\"}, {\"name\": \"age\"}]", "statistics[0]" },
        { "user_statistics", "[{\"name\": \"age\"}, {\"name\": \"impressions\"}]", "user_statistics[0].name" },
        { "user_statistics", "[{\"name\": \"click_rate\", \"prior\": 2, \"strength\": 1}, {\"name\": \"impressions\"}]", "user_statistics[0].prior" },
        { "user_statistics", "[{\"name\": \"click_rate\", \"prior\": 0.5, \"strength\": 0}, {\"name\": \"impressions\"}]", "user_statistics[0].strength" },
        { "profile", "[null, null]", "profile" },
        { "profile", "[{\"name\": \"a\", \"vocabulary\": [null]}, {\"name\": \"b\", \"vocabulary\": []}]", "profile.a.vocabulary" },
        { "actions", "[]", "actions" },
        { "actions", "[\"impression\"]", "actions" },
        { "actions", "[\"click\", \"click\"]", "actions" },
        { "context", "[{\"name\": \"a\"}, {\"name\": \"a\"}, {\"name\": \"b\"}, {\"name\": \"c\"}]", "context" },
        { "fallback.strength", "-1", "fallback.strength" },
        { "fallback", null, "fallback" },
        { "metrics", "{\"test\": {\"auc\": \"high\"}}", "metrics" },
    };

    [Theory]
    [MemberData(nameof(Contradictions))]
    public void Manifest_that_contradicts_itself_is_refused_with_the_key(string key, string? value, string named)
    {
        var manifest = JsonNode.Parse(File.ReadAllText(Golden.Path("tiny-bundle", "manifest.json")))!.AsObject();
        Put(manifest, key, value);

        var refusal = Assert.Throws<BundleRefusedException>(() => ManifestReader.Read(Encoding.UTF8.GetBytes(manifest.ToJsonString())));

        Assert.Equal(named == "item_encoder.onnx" ? "bundle_missing_file" : "bundle_manifest_invalid", refusal.Code);
        Assert.Contains(named, refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[1]")]
    [InlineData("{\"format\": 1")]
    [InlineData("{}")]
    [InlineData("{\"format\": 1, \"format\": 1}")]
    [InlineData("{\"format\": 1}")]
    public void Document_that_is_no_manifest_is_refused(string document)
    {
        var refusal = Assert.Throws<BundleRefusedException>(() => ManifestReader.Read(Encoding.UTF8.GetBytes(document)));

        Assert.Equal("bundle_manifest_invalid", refusal.Code);
    }

    [Fact]
    public void Damaged_manifest_is_refused_and_never_throws_anything_else()
    {
        const int Seed = 20261122;
        var original = File.ReadAllBytes(Golden.Path("tiny-bundle", "manifest.json"));
        var random = new Random(Seed);
        for (var round = 0; round < 3000; round++)
        {
            var damaged = original.ToArray();
            for (var change = random.Next(1, 4); change > 0; change--)
            {
                damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            }

            try
            {
                ManifestReader.Read(damaged);
            }
            catch (BundleRefusedException)
            {
            }
            catch (Exception exception)
            {
                Assert.Fail($"Seed {Seed}, round {round}: {exception}");
            }
        }
    }

    private static void Put(JsonObject manifest, string key, string? value)
    {
        var parent = manifest;
        while (key.IndexOf('.', StringComparison.Ordinal) is var dot and > 0 && parent[key[..dot]] is JsonObject child)
        {
            parent = child;
            key = key[(dot + 1)..];
        }

        if (value is null)
        {
            parent.Remove(key);
        }
        else
        {
            parent[key] = JsonNode.Parse(value);
        }
    }
}
