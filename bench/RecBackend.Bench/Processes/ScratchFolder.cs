namespace RecBackend.Bench.Processes;

/// <summary>A folder for state that a run makes and takes away again.</summary>
internal sealed class ScratchFolder : IDisposable
{
    /// <param name="parent">Where it is made.</param>
    public ScratchFolder(string parent)
    {
        Path = System.IO.Path.Combine(parent, "recbackend-bench-" + Guid.NewGuid().ToString("N"));
        Directory.CreateDirectory(Path);
    }

    public string Path { get; }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
