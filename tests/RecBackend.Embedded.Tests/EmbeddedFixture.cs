using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Engine.Contract;

namespace RecBackend.Embedded.Tests;

/// <summary>Embedded engines on directories of their own.</summary>
internal sealed class EmbeddedFixture : IEngineFixture
{
    private readonly TemporaryDirectory _root = new();
    private readonly List<EmbeddedEngine> _abandoned = [];
    private EmbeddedEngine? _engine;
    private int _crashes;

    public ManualClock Clock { get; } = new();

    public string StateDirectory => Path.Combine(_root.Path, $"state-{_crashes}");

    public async ValueTask<EnginePorts> StartAsync()
    {
        _engine = await EmbeddedEngine.OpenAsync(new EmbeddedOptions { Directory = StateDirectory }, Clock, NullLogger.Instance);
        return new(_engine.Users, _engine.Items, _engine.Changes);
    }

    public async ValueTask<EnginePorts> ReopenAsync()
    {
        await _engine!.DisposeAsync();
        return await StartAsync();
    }

    /// <summary>Copies database and log while the engine has them open: what the disk holds when a process is killed between two writes.</summary>
    public async ValueTask<EnginePorts> CrashAsync()
    {
        var before = StateDirectory;
        _abandoned.Add(_engine!);
        _crashes++;
        Directory.CreateDirectory(StateDirectory);
        foreach (var file in new[] { "engine.db", "engine.db-wal" })
        {
            File.Copy(Path.Combine(before, file), Path.Combine(StateDirectory, file));
        }

        return await StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var engine in _abandoned.Append(_engine))
        {
            if (engine is not null)
            {
                await engine.DisposeAsync();
            }
        }

        _root.Dispose();
    }
}

/// <summary>A directory that is deleted in the end.</summary>
internal sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("recbackend-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
