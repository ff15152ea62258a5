using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Tests;

/// <summary>A copy of a bundle of tests/golden that a test may damage.</summary>
internal sealed class BundleCopy : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public BundleCopy(string bundle = Golden.TinyBundle)
    {
        foreach (var file in Directory.EnumerateFiles(Golden.Path(bundle)))
        {
            File.Copy(file, PathOf(Path.GetFileName(file)));
        }

        Version = (string)Manifest()["version"]!;
    }

    /// <summary>That of the bundle before any edit.</summary>
    public string Version { get; }

    public string Folder => _folder.Path;

    public string PathOf(string file) => Path.Combine(Folder, file);

    public JsonObject Manifest() => JsonNode.Parse(File.ReadAllText(PathOf("manifest.json")))!.AsObject();

    public BundleCopy EditManifest(Action<JsonObject> edit)
    {
        var manifest = Manifest();
        edit(manifest);
        File.WriteAllText(PathOf("manifest.json"), manifest.ToJsonString());
        return this;
    }

    /// <summary>Changes a file and writes its new hash into the manifest, so that what is refused is not the hash.</summary>
    public BundleCopy EditFile(string file, Func<byte[], byte[]> edit)
    {
        File.WriteAllBytes(PathOf(file), edit(File.ReadAllBytes(PathOf(file))));
        return EditManifest(manifest => manifest["files"]![file] = Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(PathOf(file)))));
    }

    public BundleCopy EditTensors(string file, Action<Dictionary<string, TestTensor>> edit) =>
        EditFile(file, content =>
        {
            var tensors = TestTensor.ReadAll(content);
            edit(tensors);
            return TestTensor.WriteAll(tensors);
        });

    public MemoryStream Zip() => ZipOf([.. Directory.EnumerateFiles(Folder).Select(file => (Path.GetFileName(file), File.ReadAllBytes(file)))]);

    public static MemoryStream ZipOf(params (string Name, byte[] Content)[] files)
    {
        var stream = new MemoryStream();
        using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (name, content) in files)
            {
                using var entry = archive.CreateEntry(name).Open();
                entry.Write(content);
            }
        }

        stream.Position = 0;
        return stream;
    }

    public void Dispose() => _folder.Dispose();
}

/// <summary>A tensor of a safetensors file as a test edits it.</summary>
internal sealed record TestTensor(string Type, long[] Shape, byte[] Bytes)
{
    public static Dictionary<string, TestTensor> ReadAll(byte[] file)
    {
        var length = (int)BitConverter.ToUInt64(file);
        var header = JsonNode.Parse(Encoding.UTF8.GetString(file, 8, length))!.AsObject();
        return header.Where(pair => pair.Key != "__metadata__").ToDictionary(pair => pair.Key, pair =>
        {
            var offsets = pair.Value!["data_offsets"]!.AsArray().Select(offset => (int)offset!).ToArray();
            return new TestTensor(
                (string)pair.Value["dtype"]!,
                [.. pair.Value["shape"]!.AsArray().Select(axis => (long)axis!)],
                file[(8 + length + offsets[0])..(8 + length + offsets[1])]);
        });
    }

    public static byte[] WriteAll(Dictionary<string, TestTensor> tensors)
    {
        var header = new JsonObject();
        var end = 0;
        foreach (var (name, tensor) in tensors)
        {
            header[name] = new JsonObject
            {
                ["dtype"] = tensor.Type,
                ["shape"] = new JsonArray([.. tensor.Shape.Select(axis => JsonValue.Create(axis))]),
                ["data_offsets"] = new JsonArray(end, end + tensor.Bytes.Length),
            };
            end += tensor.Bytes.Length;
        }

        return WithHeader(header.ToJsonString(), [.. tensors.Values.SelectMany(tensor => tensor.Bytes)]);
    }

    public static byte[] WithHeader(string header, byte[] data)
    {
        var bytes = Encoding.UTF8.GetBytes(header);
        return [.. BitConverter.GetBytes((ulong)bytes.Length), .. bytes, .. data];
    }

    public static float[] Floats(SafeTensors file, string name) => file.ReadFloats(file.Tensors[name]);

    public static long[] Integers(SafeTensors file, string name) => file.ReadIntegers(file.Tensors[name]);
}
