using System.IO.Compression;
using RecBackend.Cli.Data;
using RecBackend.Cli.Models;
using RecBackend.Cli.Up;

namespace RecBackend.Cli.Tests.Data;

public class DataFolderTests
{
    private static readonly string Golden = Path.Combine(Installation.Root, "tests", "golden");

    [Fact]
    public void Fingerprint_is_the_one_that_training_wrote()
    {
        var manifest = System.Text.Json.JsonDocument.Parse(File.ReadAllText(Path.Combine(Golden, "tiny-bundle", "manifest.json")));

        var fingerprint = DataFolder.Open(Path.Combine(Golden, "tiny-data")).ComputeFingerprint();

        Assert.Equal(manifest.RootElement.GetProperty("training").GetProperty("data").GetString(), fingerprint);
    }

    [Fact]
    public void Packing_the_events_leaves_the_fingerprint_as_it_is()
    {
        using var folder = new TemporaryFolder();
        folder.Write("items.jsonl", "{\"id\":\"1\"}\n");
        var events = folder.Write("events.csv", "user,item,timestamp,label\nu,1,1,1\n");
        var before = DataFolder.Open(folder.Path).ComputeFingerprint();

        using (var gzip = new GZipStream(File.Create(events + ".gz"), CompressionLevel.Fastest))
        {
            gzip.Write(File.ReadAllBytes(events));
        }

        File.Delete(events);

        Assert.Equal(before, DataFolder.Open(folder.Path).ComputeFingerprint());
    }

    [Fact]
    public void Missing_folder_and_missing_files_are_named()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains("no-such", Assert.Throws<DataException>(() => DataFolder.Open(Path.Combine(folder.Path, "no-such"))).Message, StringComparison.Ordinal);
        Assert.Contains("items.jsonl", Assert.Throws<DataException>(() => DataFolder.Open(folder.Path)).Message, StringComparison.Ordinal);
        folder.Write("items.jsonl", "");
        Assert.Contains("events.csv", Assert.Throws<DataException>(() => DataFolder.Open(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Zip_of_a_bundle_holds_exactly_the_files_of_its_manifest()
    {
        var bundle = BundleFile.Open(Path.Combine(Golden, "tiny-bundle"));
        using var zip = new ZipArchive(bundle.OpenZip());

        Assert.StartsWith("tiny-", bundle.Version, StringComparison.Ordinal);
        Assert.Equal(
            Directory.EnumerateFiles(Path.Combine(Golden, "tiny-bundle")).Select(Path.GetFileName).Order(StringComparer.Ordinal),
            zip.Entries.Select(entry => entry.FullName).Order(StringComparer.Ordinal));
    }
}
