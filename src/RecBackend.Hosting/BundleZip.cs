using System.IO.Compression;

namespace RecBackend.Hosting;

/// <summary>A bundle on disk as the zip that a bundle store takes.</summary>
public static class BundleZip
{
    /// <summary>Opens <paramref name="path"/>: the zip itself, or a folder, zipped into a file that is gone when it is closed.</summary>
    public static async Task<Stream> OpenAsync(string path, CancellationToken cancellation)
    {
        if (File.Exists(path))
        {
            return File.OpenRead(path);
        }

        var zip = new FileStream(
            Path.Combine(Path.GetTempPath(), Path.GetRandomFileName()),
            FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, bufferSize: 64 * 1024, FileOptions.DeleteOnClose | FileOptions.Asynchronous);
        await ZipFile.CreateFromDirectoryAsync(path, zip, CompressionLevel.NoCompression, includeBaseDirectory: false, cancellation);
        zip.Position = 0;
        return zip;
    }
}
