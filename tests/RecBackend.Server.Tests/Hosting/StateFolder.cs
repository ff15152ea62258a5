namespace RecBackend.Server.Tests.Hosting;

/// <summary>A state folder that is gone after the test.</summary>
internal sealed class StateFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("recbackend-server-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
