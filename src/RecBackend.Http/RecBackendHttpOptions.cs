namespace RecBackend.Http;

/// <summary>What a host tells the endpoints about itself.</summary>
public sealed record RecBackendHttpOptions
{
    /// <summary>Whether a host that is bound to loopback may go without keys.</summary>
    public bool Development { get; init; }

    /// <summary>Folder for uploads that are being checked; of the same disk as the state, because they are of its size.</summary>
    public string TemporaryFolder { get; init; } = Path.GetTempPath();

    /// <summary>A new file that is gone when it is closed.</summary>
    internal FileStream OpenTemporaryFile()
    {
        Directory.CreateDirectory(TemporaryFolder);
        return new FileStream(
            Path.Combine(TemporaryFolder, Path.GetRandomFileName()),
            FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, bufferSize: 64 * 1024, FileOptions.DeleteOnClose | FileOptions.Asynchronous);
    }
}
