using System.Security.Cryptography;
using RecBackend.Core.Models;
using RecBackend.Scoring.Onnx;
using RecBackend.Scoring.Text;

namespace RecBackend.Scoring.Bundles;

/// <summary>Checks a bundle's folder, and makes a model of it.</summary>
internal static class BundleLoader
{
    /// <summary>Reads the manifest of a folder and checks that the folder holds exactly its files, with their hashes.</summary>
    /// <exception cref="BundleRefusedException">The bundle is not valid.</exception>
    public static async Task<Manifest> CheckFilesAsync(string folder, CancellationToken cancellation)
    {
        var manifest = ReadManifest(folder);
        foreach (var path in Directory.EnumerateFileSystemEntries(folder))
        {
            var name = Path.GetFileName(path);
            if (name != ManifestReader.FileName && !manifest.Files.ContainsKey(name))
            {
                throw BundleRefusal.ManifestInvalid("files", $"does not name {name}, which is in the bundle");
            }
        }

        foreach (var (name, expected) in manifest.Files)
        {
            var actual = await HashAsync(folder, name, cancellation);
            if (actual != expected)
            {
                throw BundleRefusal.HashMismatch(name, expected, actual);
            }
        }

        return manifest;
    }

    /// <summary>Reads and checks the manifest alone.</summary>
    public static Manifest ReadManifest(string folder)
    {
        var file = new FileInfo(Path.Combine(folder, ManifestReader.FileName));
        if (!file.Exists)
        {
            throw BundleRefusal.MissingFile(ManifestReader.FileName);
        }

        if (file.Length > ManifestReader.MaxBytes)
        {
            throw BundleRefusal.ManifestInvalid("the document", $"takes {file.Length} bytes, more than {ManifestReader.MaxBytes}");
        }

        return ManifestReader.Read(File.ReadAllBytes(file.FullName));
    }

    /// <summary>Loads a bundle and checks it in full: files, hashes, tables, graphs, examples.</summary>
    /// <exception cref="BundleRefusedException">The bundle is not valid.</exception>
    public static async Task<OnnxModel> LoadAsync(string folder, ScoringRuntime runtime, CancellationToken cancellation)
    {
        var manifest = await CheckFilesAsync(folder, cancellation);
        var items = LoadTable(folder, BundleFiles.Items, manifest.Dims.ItemId);
        var users = LoadTable(folder, BundleFiles.Users, manifest.Dims.UserId);
        var tokenizer = manifest.ItemInputs.Text is null ? null : LoadTokenizer(folder);
        var graphs = new List<Graph>();
        try
        {
            using var examples = GoldenExamples.Open(folder);
            foreach (var (contract, callers) in new[] { (GraphContract.ItemEncoder(manifest), 1), (GraphContract.UserEncoder(manifest), 1), (GraphContract.Ranker(manifest), runtime.Options.Rankers) })
            {
                cancellation.ThrowIfCancellationRequested();
                graphs.Add(Graph.Load(folder, contract, runtime, callers));
                CheckSessions(examples, graphs[^1], cancellation);
            }

            var reader = new ItemReader(manifest.ItemInputs, tokenizer, runtime.Options.MaxImagePixels);
            return new OnnxModel(manifest.ToLayout(), runtime, graphs[0], graphs[1], graphs[2], items, users, reader);
        }
        catch
        {
            graphs.ForEach(graph => graph.Dispose());
            throw;
        }
    }

    /// <summary>Each session by itself: the first run of one takes many times as long as the others, and no caller should wait for it.</summary>
    private static void CheckSessions(GoldenExamples examples, Graph graph, CancellationToken cancellation)
    {
        var held = new List<GraphRun>();
        while (held.Count < graph.Sessions)
        {
            cancellation.ThrowIfCancellationRequested();
            examples.Check(graph);

            // While it is held, the next check makes a run of the next session.
            held.Add(graph.Rent(batch: 1, candidates: 1));
        }

        held.ForEach(graph.Return);
    }

    private static async Task<string> HashAsync(string folder, string name, CancellationToken cancellation)
    {
        try
        {
            await using var stream = new FileStream(
                Path.Combine(folder, name), FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20, FileOptions.Asynchronous | FileOptions.SequentialScan);
            return Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, cancellation));
        }
        catch (FileNotFoundException)
        {
            throw BundleRefusal.MissingFile(name);
        }
    }

    private static IdTable LoadTable(string folder, string name, int width)
    {
        try
        {
            return IdTable.Load(Path.Combine(folder, name), width);
        }
        catch (InvalidDataException exception)
        {
            throw BundleRefusal.DimsMismatch(name, exception.Message, exception);
        }
    }

    private static BytePairTokenizer LoadTokenizer(string folder)
    {
        try
        {
            return BytePairTokenizer.Parse(File.ReadAllBytes(Path.Combine(folder, BundleFiles.Tokenizer)));
        }
        catch (InvalidDataException exception)
        {
            throw BundleRefusal.ManifestInvalid("item_inputs.text.tokenizer", $"names a file that cannot be used: {exception.Message}", exception);
        }
    }
}
