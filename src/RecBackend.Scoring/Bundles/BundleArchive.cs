using System.IO.Compression;

namespace RecBackend.Scoring.Bundles;

/// <summary>Unpacks an uploaded bundle. Whatever the archive says of itself, nothing is written outside the folder, nor more than the limit.</summary>
internal static class BundleArchive
{
    private const int MaxFiles = 64;
    private const int UnixTypeMask = 0xF000;
    private const int UnixRegularFile = 0x8000;

    /// <summary>Unpacks <paramref name="zip"/> into <paramref name="folder"/>, which must be empty.</summary>
    /// <param name="zip">Read once, to its end.</param>
    /// <param name="folder">Where the files go.</param>
    /// <param name="maxBytes">Limit of the archive and of what it expands to.</param>
    /// <param name="cancellation">Stops between blocks.</param>
    /// <exception cref="Core.Models.BundleRefusedException"><c>bundle_archive_invalid</c>.</exception>
    public static async Task UnpackAsync(Stream zip, string folder, long maxBytes, CancellationToken cancellation)
    {
        // The table of contents stands at the end: the archive must be on disk before its first file can be read.
        await using var spooled = new FileStream(
            folder + ".zip", FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 16, FileOptions.Asynchronous | FileOptions.DeleteOnClose);
        await CopyAsync(zip, spooled, maxBytes, cancellation);
        spooled.Position = 0;
        try
        {
            using var archive = new ZipArchive(spooled, ZipArchiveMode.Read, leaveOpen: true);
            CheckNames(archive);
            var left = maxBytes;
            foreach (var entry in archive.Entries)
            {
                await using var source = await entry.OpenAsync(cancellation);
                await using var target = new FileStream(Path.Combine(folder, entry.Name), FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16, FileOptions.Asynchronous);
                left -= await CopyAsync(source, target, left, cancellation);
            }
        }
        catch (InvalidDataException exception)
        {
            throw BundleRefusal.ArchiveInvalid(exception.Message, exception);
        }
    }

    private static void CheckNames(ZipArchive archive)
    {
        if (archive.Entries.Count > MaxFiles)
        {
            throw BundleRefusal.ArchiveInvalid($"it has {archive.Entries.Count} files; a bundle has at most {MaxFiles}.");
        }

        var names = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        foreach (var entry in archive.Entries)
        {
            var type = (entry.ExternalAttributes >> 16) & UnixTypeMask;
            if (!BundleFiles.IsName(entry.FullName))
            {
                throw BundleRefusal.ArchiveInvalid($"the path {entry.FullName} is not a plain file name. A bundle's files lie at the root of its zip.");
            }

            if (type is not (0 or UnixRegularFile))
            {
                throw BundleRefusal.ArchiveInvalid($"{entry.FullName} is a link or a device, not a file.");
            }

            if (!names.Add(entry.FullName))
            {
                throw BundleRefusal.ArchiveInvalid($"{entry.FullName} is there twice.");
            }
        }
    }

    /// <summary>Counts what really comes: the sizes in an archive's headers are only what it says.</summary>
    private static async Task<long> CopyAsync(Stream source, Stream target, long limit, CancellationToken cancellation)
    {
        var buffer = new byte[1 << 16];
        long copied = 0;
        int read;
        while ((read = await source.ReadAsync(buffer, cancellation)) > 0)
        {
            copied += read;
            if (copied > limit)
            {
                throw BundleRefusal.ArchiveInvalid("it takes more room than Scoring:MaxBundleBytes allows.");
            }

            await target.WriteAsync(buffer.AsMemory(0, read), cancellation);
        }

        return copied;
    }
}
