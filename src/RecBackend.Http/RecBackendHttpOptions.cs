using System.Buffers;
using RecBackend.Core.Storage;

namespace RecBackend.Http;

/// <summary>What a host tells the endpoints about itself.</summary>
public sealed record RecBackendHttpOptions
{
    /// <summary>Whether a host that is bound to loopback may go without keys.</summary>
    public bool Development { get; init; }

    /// <summary>Whether this host holds a model and a catalogue. One that does not answers the calls that need them with 503, and is ready without them.</summary>
    public bool Scores { get; init; } = true;

    /// <summary>Rankings that the host's scorer runs at once.</summary>
    public int ConcurrentRuns { get; init; } = Environment.ProcessorCount;

    /// <summary>Threads that rankings are read, run and written on: one for each run, and at least one for each processor, so that where fewer run at once, as on a GPU, the others gather for it.</summary>
    internal int RankThreads => Math.Max(ConcurrentRuns, Environment.ProcessorCount);

    /// <summary>Folder for uploads that are being checked; of the same disk as the state, because they are of its size.</summary>
    public string TemporaryFolder { get; init; } = Path.GetTempPath();

    /// <summary>Base URL under which a gateway reaches this host, as <c>GET /v1/cluster</c> tells it.</summary>
    public Uri? Address { get; init; }

    /// <summary>How long a host that was told to stop goes on serving, unless <c>RecBackend:DrainSeconds</c> says otherwise: so long it takes those who send to it to learn that they should not.</summary>
    public TimeSpan Drain { get; init; }

    /// <summary>A new file that is gone when it is closed, or when the process ends, however it ends.</summary>
    /// <exception cref="StorageException">It cannot be made.</exception>
    internal FileStream OpenTemporaryFile()
    {
        var path = Path.Combine(TemporaryFolder, Path.GetRandomFileName());
        try
        {
            Directory.CreateDirectory(TemporaryFolder);
            var file = new FileStream(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, bufferSize: 0, FileOptions.DeleteOnClose | FileOptions.Asynchronous);
            if (!OperatingSystem.IsWindows())
            {
                // Unix keeps what is open and has no name, and frees it with the process. Deletion on close is nothing that a killed process does.
                File.Delete(path);
            }

            return file;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Failure(e);
        }
    }

    /// <summary>Writes all of <paramref name="body"/> to a temporary file.</summary>
    /// <returns>The file, at its beginning.</returns>
    /// <exception cref="StorageException">The disk is full or does not work. A body that breaks off fails with its own exception.</exception>
    internal async Task<FileStream> SpoolAsync(Stream body, CancellationToken cancellation)
    {
        var file = OpenTemporaryFile();
        var buffer = ArrayPool<byte>.Shared.Rent(128 * 1024);
        try
        {
            for (int read; (read = await body.ReadAsync(buffer, cancellation)) > 0;)
            {
                await WriteAsync(file, buffer.AsMemory(0, read), cancellation);
            }

            file.Position = 0;
            return file;
        }
        catch
        {
            await file.DisposeAsync();
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Writes <paramref name="bytes"/>.</summary>
    /// <exception cref="StorageException">The disk is full or does not work.</exception>
    internal static async Task WriteAsync(FileStream file, ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        try
        {
            await file.WriteAsync(bytes, cancellation);
        }
        catch (IOException e)
        {
            throw Failure(e);
        }
    }

    private static StorageException Failure(Exception e)
    {
        const int NoSpaceOnUnix = 28;
        const int NoSpaceOnWindows = unchecked((int)0x80070070);
        return e.HResult is NoSpaceOnUnix or NoSpaceOnWindows
            ? new StorageException(StorageException.Full, "The disk is full: the upload was not taken.", e)
            : new StorageException(StorageException.Unavailable, "The folder for uploads cannot be written: the upload was not taken.", e);
    }
}
