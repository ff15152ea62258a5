using RecBackend.Core.Storage;

namespace RecBackend.Embedded.Storage;

/// <summary>The directory that holds the state. Owned by one engine at a time, through a lock on a file that the system drops when the process ends, however it ends.</summary>
internal sealed class StateDirectory : IDisposable
{
    private readonly FileStream _lock;

    private StateDirectory(string path, FileStream @lock)
    {
        Path = path;
        _lock = @lock;
    }

    public string Path { get; }

    public string DatabaseFile => System.IO.Path.Combine(Path, "engine.db");

    /// <summary>Makes the directory if it is missing, and takes it.</summary>
    /// <exception cref="StorageException">It cannot be written, or another engine has it.</exception>
    public static StateDirectory Acquire(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        var file = System.IO.Path.Combine(path, "engine.lock");
        try
        {
            Directory.CreateDirectory(path);
            return new StateDirectory(path, new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (UnauthorizedAccessException exception)
        {
            throw NotWritable(path, exception);
        }
        catch (IOException exception) when (IsLocked(exception))
        {
            throw new StorageException(
                StorageException.Unavailable, $"The state directory {path} is in use by another server. Stop it, or give this one a directory of its own.", exception);
        }
        catch (IOException exception)
        {
            throw NotWritable(path, exception);
        }
    }

    public void Dispose() => _lock.Dispose();

    private static StorageException NotWritable(string path, Exception exception) =>
        new(StorageException.Unavailable, $"The state directory {path} cannot be written: {exception.Message}", exception);

    /// <summary>EWOULDBLOCK on Linux and macOS, ERROR_SHARING_VIOLATION on Windows.</summary>
    private static bool IsLocked(IOException exception) => (exception.HResult & 0xFFFF) is 11 or 35 or 32;
}
