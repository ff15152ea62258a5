using RecBackend.Core.Models;
using RecBackend.Core.Storage;

namespace RecBackend.Scoring.Tests.Bundles;

public sealed class FileBundleStoreTests : IDisposable
{
    private readonly TemporaryFolder _state = new();
    private readonly ScoringRuntime _runtime = TestRuntime.Create();
    private readonly BundleCopy _bundle = new();

    public void Dispose()
    {
        _bundle.Dispose();
        _runtime.Dispose();
        _state.Dispose();
    }

    [Fact]
    public async Task Zip_and_folder_of_one_bundle_are_one_bundle()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);
        using var zip = _bundle.Zip();

        var first = await store.AddAsync(zip, CancellationToken.None);
        var written = File.GetLastWriteTimeUtc(Path.Combine(_state.Path, "bundles", first.Version, "ranker.onnx"));
        var second = await store.AddFolderAsync(_bundle.Folder, CancellationToken.None);

        Assert.Equal(_bundle.Version, first.Version);
        Assert.Equal("tiny", first.Recipe);
        Assert.Equal(first.Bytes, second.Bytes);
        Assert.Equal((double)_bundle.Manifest()["metrics"]!["test"]!["auc"]!, first.Metrics["test"]["auc"]);
        Assert.Equal(written, File.GetLastWriteTimeUtc(Path.Combine(_state.Path, "bundles", first.Version, "ranker.onnx")));
        Assert.Single(store.List());
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_state.Path, "staging")));
    }

    [Fact]
    public async Task Copy_that_was_damaged_on_disk_is_replaced_by_a_new_upload()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);
        await store.AddFolderAsync(_bundle.Folder, CancellationToken.None);
        File.Delete(Path.Combine(_state.Path, "bundles", _bundle.Version, "ranker.onnx"));

        await store.AddFolderAsync(_bundle.Folder, CancellationToken.None);

        await using var model = await store.LoadAsync(_bundle.Version, CancellationToken.None);
        Assert.Equal(_bundle.Version, model.Layout.Version);
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_state.Path, "staging")));
    }

    [Fact]
    public async Task One_bundle_added_by_many_at_once_is_stored_once_and_whole()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);

        var summaries = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => store.AddFolderAsync(_bundle.Folder, CancellationToken.None).AsTask()));

        Assert.Single(summaries.Select(summary => summary.Bytes).Distinct());
        await using var model = await store.LoadAsync(_bundle.Version, CancellationToken.None);
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_state.Path, "staging")));
    }

    [Fact]
    public async Task List_is_newest_first_and_leaves_out_what_cannot_be_read()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);
        await store.AddFolderAsync(_bundle.Folder, CancellationToken.None);
        _bundle.EditManifest(manifest =>
        {
            manifest["version"] = "tiny-later";
            manifest["created"] = "2027-01-01T00:00:00Z";
        });
        await store.AddFolderAsync(_bundle.Folder, CancellationToken.None);
        Directory.CreateDirectory(Path.Combine(_state.Path, "bundles", "empty"));

        Assert.Equal(["tiny-later", _bundle.Version], store.List().Select(bundle => bundle.Version));
    }

    [Fact]
    public void Active_versions_survive_a_restart()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);
        Assert.Equal(new ActiveVersions(null, null), store.ReadActive());

        store.WriteActive(new ActiveVersions("b", "a"));
        store.WriteActive(new ActiveVersions("c", "b"));

        Assert.Equal(new ActiveVersions("c", "b"), TestRuntime.Store(_state.Path, _runtime).ReadActive());
        Assert.False(File.Exists(Path.Combine(_state.Path, "active.json.new")));
    }

    [Fact]
    public void Damaged_active_versions_are_an_error_that_names_the_file()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);
        File.WriteAllText(Path.Combine(_state.Path, "active.json"), "{");

        Assert.Contains("active.json", Assert.Throws<InvalidDataException>(store.ReadActive).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Upload_that_was_interrupted_leaves_nothing_after_a_restart()
    {
        _ = TestRuntime.Store(_state.Path, _runtime);
        Directory.CreateDirectory(Path.Combine(_state.Path, "staging", "half"));
        File.WriteAllText(Path.Combine(_state.Path, "staging", "half", "manifest.json"), "{");

        var store = TestRuntime.Store(_state.Path, _runtime);

        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_state.Path, "staging")));
        Assert.Empty(store.List());
        Assert.Equal(_bundle.Version, (await store.AddFolderAsync(_bundle.Folder, CancellationToken.None)).Version);
    }

    [Fact]
    public void State_folder_that_cannot_be_written_is_an_error_that_names_it()
    {
        var file = Path.Combine(_state.Path, "a-file");
        File.WriteAllText(file, "in the way");

        var failure = Assert.Throws<StorageException>(() => TestRuntime.Store(file, _runtime));

        Assert.Equal("storage_unavailable", failure.Code);
        Assert.Contains(file, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Upload_to_a_disk_without_space_is_told_apart_and_leaves_nothing()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);

        var failure = await Assert.ThrowsAsync<StorageException>(() => store.AddAsync(new StreamOnFullDisk(), CancellationToken.None).AsTask());

        Assert.Equal("storage_full", failure.Code);
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_state.Path, "staging")));
    }

    [Fact]
    public async Task Cancelled_upload_leaves_nothing()
    {
        var store = TestRuntime.Store(_state.Path, _runtime);
        using var zip = _bundle.Zip();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => store.AddAsync(zip, new CancellationToken(canceled: true)).AsTask());

        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(_state.Path, "staging")));
        Assert.Empty(store.List());
    }

    [Fact]
    public async Task Layout_is_what_the_manifest_says()
    {
        await using var model = await TestRuntime.LoadAsync(_runtime, _bundle.Folder, _state.Path);

        var layout = model.Layout;
        Assert.Equal((8, 12, 4, 20, 12, 11, 23), (layout.ItemId, layout.Representation, layout.UserId, layout.History, layout.UserState, layout.HistoryState, layout.Row));
        Assert.Equal([StatisticKind.Impressions, StatisticKind.ClickRate, StatisticKind.Age], layout.Statistics.Select(field => field.Kind));
        Assert.Equal(new StatisticField(StatisticKind.ClickRate, 0.478125, 10), layout.UserStatistics[1]);
        Assert.Equal(["since_last_event", "hour_sin", "hour_cos", "position"], layout.Context);
        Assert.Equal(["click"], layout.Actions);
        Assert.Equal((3L, 1L, 0L), (layout.Profile[1].IdOf("M"), layout.Profile[1].IdOf("X"), layout.Profile[1].IdOf(null)));
        Assert.Equal((0.478125, 20.0), (layout.FallbackPrior, layout.FallbackStrength));
    }

    /// <summary>Fails as the kernel's /dev/full does: with "no space left" on writing.</summary>
    private sealed class StreamOnFullDisk : MemoryStream
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            using var full = new FileStream("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
            full.WriteByte(0);
            return ValueTask.FromResult(0);
        }
    }
}
