using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Core.Models;

namespace RecBackend.Scoring.Tests.Bundles;

/// <summary>Every reason of docs/bundle-format.md, section 7. A refused bundle leaves nothing behind.</summary>
public sealed class BundleRefusalTests : IDisposable
{
    private readonly TemporaryFolder _state = new();
    private readonly ScoringRuntime _runtime = TestRuntime.Create();
    private readonly BundleCopy _bundle = new();

    /// <summary>Of every bundle, what each of its graphs gives.</summary>
    public static TheoryData<string, string> Outputs => Golden.EachBundleWith("item_encoder/representation", "user_encoder/history_state", "ranker/score");

    public void Dispose()
    {
        _bundle.Dispose();
        _runtime.Dispose();
        _state.Dispose();
    }

    [Fact]
    public async Task Wrong_hash_is_refused()
    {
        var ranker = File.ReadAllBytes(_bundle.PathOf("ranker.onnx"));
        ranker[^1] ^= 1;
        File.WriteAllBytes(_bundle.PathOf("ranker.onnx"), ranker);

        await AssertNotAddedAsync("bundle_hash_mismatch", "ranker.onnx");
    }

    [Fact]
    public async Task Stored_bundle_that_was_changed_on_disk_is_refused()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);
        await store.AddFolderAsync(_bundle.Folder, CancellationToken.None);
        File.AppendAllText(Path.Combine(_state.Path, "bundles", _bundle.Version, "users.safetensors"), "x");

        await AssertRefusedAsync("bundle_hash_mismatch", "users.safetensors", () => store.LoadAsync(_bundle.Version, CancellationToken.None).AsTask());
    }

    [Theory]
    [InlineData("ranker.onnx")]
    [InlineData("golden.safetensors")]
    [InlineData("tokenizer.json")]
    [InlineData("manifest.json")]
    public async Task Missing_file_is_refused(string file)
    {
        File.Delete(_bundle.PathOf(file));

        await AssertNotAddedAsync("bundle_missing_file", file);
    }

    [Theory]
    [InlineData("item_encoder.onnx")]
    [InlineData("users.safetensors")]
    [InlineData("tokenizer.json")]
    public async Task Required_file_that_the_manifest_does_not_name_is_refused(string file)
    {
        _bundle.EditManifest(manifest => manifest["files"]!.AsObject().Remove(file));
        File.Delete(_bundle.PathOf(file));

        await AssertNotAddedAsync("bundle_missing_file", file);
    }

    [Theory]
    [InlineData("2")]
    [InlineData("1.5")]
    [InlineData("99999999999999999999")]
    public async Task Unknown_format_version_is_refused(string format)
    {
        File.WriteAllText(_bundle.PathOf("manifest.json"), $$"""{"format": {{format}}, "shape": "of another time"}""");

        await AssertNotAddedAsync("bundle_format_unsupported", format);
    }

    [Fact]
    public async Task File_that_the_manifest_does_not_name_is_refused()
    {
        File.WriteAllText(_bundle.PathOf("notes.txt"), "hello");

        await AssertNotAddedAsync("bundle_manifest_invalid", "notes.txt");
    }

    [Fact]
    public async Task Folder_in_a_bundle_is_refused()
    {
        Directory.CreateDirectory(_bundle.PathOf("more"));

        await AssertNotAddedAsync("bundle_manifest_invalid", "more");
    }

    [Theory]
    [InlineData("user_state", 13, "user_encoder.onnx")]
    [InlineData("history_state", 12, "user_encoder.onnx")]
    [InlineData("history", 21, "user_encoder.onnx")]
    [InlineData("user_id", 5, "users.safetensors")]
    public async Task Dims_that_are_not_those_of_graphs_and_tables_are_refused(string dim, int value, string file)
    {
        _bundle.EditManifest(manifest => manifest["dims"]![dim] = value);

        await AssertNotLoadedAsync("bundle_dims_mismatch", file);
    }

    [Fact]
    public async Task Graph_input_that_the_manifest_does_not_ask_for_is_refused()
    {
        _bundle.EditManifest(manifest => manifest["item_inputs"]!["text"] = null);

        await AssertNotLoadedAsync("bundle_dims_mismatch", "text");
    }

    [Fact]
    public async Task Graph_input_that_is_not_there_is_refused()
    {
        _bundle.EditManifest(manifest => manifest["item_inputs"]!["image"] = JsonNode.Parse("""{"height": 8, "width": 8, "mean": [0, 0, 0], "std": [1, 1, 1]}"""));

        await AssertNotLoadedAsync("bundle_dims_mismatch", "input image");
    }

    [Fact]
    public async Task File_that_is_no_graph_is_refused()
    {
        _bundle.EditFile("ranker.onnx", _ => Encoding.UTF8.GetBytes("not a graph"));

        await AssertNotLoadedAsync("bundle_dims_mismatch", "ranker.onnx");
    }

    [Theory]
    [MemberData(nameof(Outputs))]
    public async Task Golden_mismatch_is_refused(string golden, string tensor)
    {
        using var bundle = new BundleCopy(golden);
        bundle.EditTensors("golden.safetensors", tensors => AddTo(tensors[tensor], 7, 0.001f));

        await AssertNotLoadedAsync(bundle, "bundle_golden_mismatch", tensor + "[7]");
    }

    [Fact]
    public async Task Golden_example_that_is_not_a_number_is_refused()
    {
        _bundle.EditTensors("golden.safetensors", tensors => AddTo(tensors["ranker/score"], 0, float.NaN));

        await AssertNotLoadedAsync("bundle_golden_mismatch", "ranker/score[0]");
    }

    [Fact]
    public async Task Golden_example_within_the_tolerance_is_taken()
    {
        _bundle.EditTensors("golden.safetensors", tensors => AddTo(tensors["ranker/score"], 0, 0.00005f));

        await using var model = await TestRuntime.LoadAsync(_runtime, _bundle.Folder, _state.Path);

        Assert.Equal(_bundle.Version, model.Layout.Version);
    }

    [Fact]
    public async Task Missing_golden_tensor_is_refused()
    {
        _bundle.EditTensors("golden.safetensors", tensors => tensors.Remove("user_encoder/history_mask"));

        await AssertNotLoadedAsync("bundle_golden_mismatch", "user_encoder/history_mask");
    }

    [Fact]
    public async Task Too_few_golden_examples_are_refused()
    {
        _bundle.EditTensors("golden.safetensors", tensors =>
        {
            foreach (var (name, tensor) in tensors.Where(pair => pair.Key.StartsWith("user_encoder/", StringComparison.Ordinal)).ToList())
            {
                tensors[name] = tensor with { Shape = [7, .. tensor.Shape[1..]], Bytes = tensor.Bytes[..(tensor.Bytes.Length / 8 * 7)] };
            }
        });

        await AssertNotLoadedAsync("bundle_golden_mismatch", "at least 8");
    }

    [Fact]
    public async Task Truncated_golden_file_is_refused()
    {
        _bundle.EditFile("golden.safetensors", content => content[..^1]);

        await AssertNotLoadedAsync("bundle_golden_mismatch", "truncated");
    }

    [Fact]
    public async Task Truncated_table_is_refused()
    {
        _bundle.EditFile("items.safetensors", content => content[..^1]);

        await AssertNotLoadedAsync("bundle_dims_mismatch", "items.safetensors");
    }

    [Fact]
    public async Task Table_with_an_id_twice_is_refused()
    {
        _bundle.EditTensors("items.safetensors", tensors =>
        {
            var ids = Encoding.UTF8.GetString(tensors["ids"].Bytes).Split('\n');
            var bytes = Encoding.UTF8.GetBytes(string.Join('\n', [ids[1], .. ids[1..]]));
            tensors["ids"] = new TestTensor("U8", [bytes.Length], bytes);
        });

        await AssertNotLoadedAsync("bundle_dims_mismatch", "twice");
    }

    [Fact]
    public async Task Table_with_fewer_ids_than_rows_is_refused()
    {
        _bundle.EditTensors("items.safetensors", tensors =>
        {
            var bytes = tensors["ids"].Bytes;
            bytes = bytes[(Array.IndexOf(bytes, (byte)'\n') + 1)..];
            tensors["ids"] = new TestTensor("U8", [bytes.Length], bytes);
        });

        await AssertNotLoadedAsync("bundle_dims_mismatch", "46 IDs");
    }

    [Fact]
    public async Task Tokenizer_with_an_impossible_merge_is_refused()
    {
        _bundle.EditFile("tokenizer.json", _ => Encoding.UTF8.GetBytes("""{"format":1,"merges":[[100,259]]}"""));

        await AssertNotLoadedAsync("bundle_manifest_invalid", "tokenizer");
    }

    [Fact]
    public async Task Truncated_zip_is_refused()
    {
        using var zip = _bundle.Zip();
        zip.SetLength(zip.Length / 2);

        await AssertZipRefusedAsync(zip, "");
    }

    [Fact]
    public async Task Zip_with_a_damaged_file_is_refused()
    {
        using var zip = _bundle.Zip();
        var content = zip.ToArray();
        for (var i = 200; i < 1200; i++)
        {
            content[i] ^= 0x55;
        }

        await AssertZipRefusedAsync(new MemoryStream(content), "");
    }

    [Theory]
    [InlineData("../evil.txt")]
    [InlineData("/etc/evil.txt")]
    [InlineData("..\\evil.txt")]
    [InlineData("C:evil.txt")]
    [InlineData("bundle/manifest.json")]
    [InlineData("folder/")]
    [InlineData("..")]
    public async Task Zip_path_outside_the_root_is_refused(string path)
    {
        using var zip = BundleCopy.ZipOf((path, "x"u8.ToArray()));

        await AssertZipRefusedAsync(zip, path);
        Assert.Empty(Directory.EnumerateFiles(_state.Path, "evil*", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task Zip_with_a_symbolic_link_is_refused()
    {
        using var zip = _bundle.Zip();
        using (var archive = new System.IO.Compression.ZipArchive(zip, System.IO.Compression.ZipArchiveMode.Update, leaveOpen: true))
        {
            archive.GetEntry("ranker.onnx")!.ExternalAttributes = unchecked((int)0xA1FF0000);
        }

        zip.Position = 0;
        await AssertZipRefusedAsync(zip, "ranker.onnx is a link");
    }

    [Fact]
    public async Task Zip_with_a_file_twice_is_refused()
    {
        using var zip = BundleCopy.ZipOf(("manifest.json", "{}"u8.ToArray()), ("manifest.json", "{}"u8.ToArray()));

        await AssertZipRefusedAsync(zip, "twice");
    }

    [Fact]
    public async Task Zip_that_expands_past_the_limit_is_refused()
    {
        using var runtime = TestRuntime.Create(new ScoringOptions { MaxBundleBytes = 1 << 20 });
        using var zip = BundleCopy.ZipOf(("zeros", new byte[2 << 20]));
        Assert.True(zip.Length < 1 << 20);

        var store = TestRuntime.Store(_state.Path, runtime);
        await AssertRefusedAsync("bundle_archive_invalid", "MaxBundleBytes", () => store.AddAsync(zip, CancellationToken.None).AsTask());
        AssertNothingStored();
    }

    [Fact]
    public async Task Bundle_that_is_not_stored_is_refused()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);

        await AssertRefusedAsync("bundle_unknown", "nobody", () => store.LoadAsync("nobody", CancellationToken.None).AsTask());
        await AssertRefusedAsync("bundle_unknown", "..", () => store.LoadAsync("../bundles", CancellationToken.None).AsTask());
    }

    private static void AddTo(TestTensor tensor, int place, float difference)
    {
        var value = BitConverter.ToSingle(tensor.Bytes, place * 4) + difference;
        BitConverter.GetBytes(value).CopyTo(tensor.Bytes, place * 4);
    }

    /// <summary>Refused on arrival, as a folder and as a zip.</summary>
    private async Task AssertNotAddedAsync(string code, string detail)
    {
        var store = TestRuntime.Store(_state.Path, _runtime);
        using var zip = _bundle.Zip();

        await AssertRefusedAsync(code, detail, () => store.AddFolderAsync(_bundle.Folder, CancellationToken.None).AsTask());
        if (Directory.GetDirectories(_bundle.Folder).Length == 0)
        {
            await AssertRefusedAsync(code, detail, () => store.AddAsync(zip, CancellationToken.None).AsTask());
        }

        AssertNothingStored();
    }

    private Task AssertNotLoadedAsync(string code, string detail) => AssertNotLoadedAsync(_bundle, code, detail);

    private async Task AssertNotLoadedAsync(BundleCopy bundle, string code, string detail)
    {
        var store = TestRuntime.Store(_state.Path, _runtime);
        await store.AddFolderAsync(bundle.Folder, CancellationToken.None);

        await AssertRefusedAsync(code, detail, () => store.LoadAsync(bundle.Version, CancellationToken.None).AsTask());
    }

    private async Task AssertZipRefusedAsync(Stream zip, string detail)
    {
        var store = TestRuntime.Store(_state.Path, _runtime);

        await AssertRefusedAsync("bundle_archive_invalid", detail, () => store.AddAsync(zip, CancellationToken.None).AsTask());
        AssertNothingStored();
    }

    private static async Task AssertRefusedAsync(string code, string detail, Func<Task> action)
    {
        var refusal = await Assert.ThrowsAsync<BundleRefusedException>(action);
        Assert.Equal(code, refusal.Code);
        Assert.Contains(detail, refusal.Message, StringComparison.Ordinal);
    }

    private void AssertNothingStored()
    {
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_state.Path, "bundles")));
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_state.Path, "staging")));
    }
}
