using System.IO.Compression;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace RecBackend.Cli.Models;

/// <summary>A model bundle on disk: a folder, or a zip of its files (docs/bundle-format.md).</summary>
internal sealed class BundleFile
{
    private const string ManifestName = "manifest.json";

    private readonly string _path;
    private readonly BundleManifest _manifest;

    private BundleFile(string path, BundleManifest manifest)
    {
        _path = path;
        _manifest = manifest;
    }

    /// <summary>The bundle's version.</summary>
    public string Version => _manifest.Version!;

    /// <summary>Metrics that training measured on the test part, by name; empty if it wrote none.</summary>
    public IReadOnlyDictionary<string, double> TestMetrics =>
        _manifest.Metrics is { } metrics && metrics.TryGetValue("test", out var test) && test.ValueKind == JsonValueKind.Object
            ? test.EnumerateObject().Where(metric => metric.Value.ValueKind == JsonValueKind.Number).ToDictionary(metric => metric.Name, metric => metric.Value.GetDouble())
            : new Dictionary<string, double>();

    /// <summary>Reads the manifest; the server checks the rest.</summary>
    /// <exception cref="CommandException">There is no bundle at <paramref name="path"/>.</exception>
    public static BundleFile Open(string path)
    {
        try
        {
            using var manifest = OpenManifest(path);
            var parsed = JsonSerializer.Deserialize(manifest, BundleJson.Default.BundleManifest);
            return parsed?.Version is null ? throw new CommandException($"{path}: {ManifestName} names no version") : new BundleFile(path, parsed);
        }
        catch (Exception e) when (e is JsonException or InvalidDataException)
        {
            throw new CommandException($"{path}: not a model bundle: {e.Message}", e);
        }
    }

    /// <summary>A zip of the bundle; a folder is packed into a file that goes away with the stream.</summary>
    public Stream OpenZip()
    {
        if (!Directory.Exists(_path))
        {
            return File.OpenRead(_path);
        }

        var file = new FileStream(Path.GetTempFileName(), FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.DeleteOnClose);
        using (var zip = new ZipArchive(file, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var name in (_manifest.Files?.Keys ?? Enumerable.Empty<string>()).Append(ManifestName))
            {
                var source = Path.Combine(_path, name);
                if (File.Exists(source))
                {
                    // Weights do not shrink; what little text there is does not matter.
                    zip.CreateEntryFromFile(source, name, CompressionLevel.Fastest);
                }
            }
        }

        file.Position = 0;
        return file;
    }

    private static Stream OpenManifest(string path)
    {
        if (Directory.Exists(path))
        {
            var manifest = Path.Combine(path, ManifestName);
            return File.Exists(manifest) ? File.OpenRead(manifest) : throw new CommandException($"{path}: not a model bundle: {ManifestName} is not there");
        }

        if (!File.Exists(path))
        {
            throw new CommandException($"{path}: no such bundle; `rec train` makes one");
        }

        using var zip = ZipFile.OpenRead(path);
        var entry = zip.GetEntry(ManifestName) ?? throw new CommandException($"{path}: not a model bundle: {ManifestName} is not in the zip");
        var copy = new MemoryStream();
        using (var stream = entry.Open())
        {
            stream.CopyTo(copy);
        }

        copy.Position = 0;
        return copy;
    }
}

/// <summary>The members of a manifest that the command line reads.</summary>
internal sealed record BundleManifest(string? Version, Dictionary<string, string>? Files, Dictionary<string, JsonElement>? Metrics);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(BundleManifest))]
internal sealed partial class BundleJson : JsonSerializerContext;
