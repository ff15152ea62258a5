using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.Logging;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;

namespace RecBackend.Scoring.Bundles;

/// <summary>
/// Bundles in a folder: <c>bundles/VERSION/</c> for each, and <c>active.json</c>. A bundle gets its place by one rename, after everything in it was checked and flushed:
/// a host that dies at any moment leaves it whole or absent.
/// </summary>
public sealed class FileBundleStore : IBundleStore
{
    private readonly ScoringRuntime _runtime;
    private readonly ILogger<FileBundleStore> _logger;
    private readonly string _bundles;
    private readonly string _staging;
    private readonly string _active;
    private readonly Lock _placing = new();
    private int _placements;

    /// <summary>Opens a store, making its folders where they are not there, and clearing what an interrupted upload left.</summary>
    /// <param name="folder">The host's state folder. One process uses it at a time.</param>
    /// <param name="runtime">What models run on.</param>
    /// <param name="logger">Is told of stored bundles, and of those that can no longer be read.</param>
    /// <exception cref="StorageException">The folder cannot be written.</exception>
    public FileBundleStore(string folder, ScoringRuntime runtime, ILogger<FileBundleStore> logger)
    {
        _runtime = runtime;
        _logger = logger;
        _bundles = Path.Combine(Path.GetFullPath(folder), "bundles");
        _staging = Path.Combine(Path.GetFullPath(folder), "staging");
        _active = Path.Combine(Path.GetFullPath(folder), "active.json");
        try
        {
            if (Directory.Exists(_staging))
            {
                Directory.Delete(_staging, recursive: true);
            }

            Directory.CreateDirectory(_staging);
            Directory.CreateDirectory(_bundles);
        }
        catch (Exception exception) when (IsOfDisk(exception))
        {
            throw Failure($"The state folder {folder} cannot hold bundles", exception);
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<BundleSummary> List()
    {
        var summaries = new List<BundleSummary>();
        foreach (var folder in Directory.EnumerateDirectories(_bundles))
        {
            try
            {
                summaries.Add(Summarize(folder, BundleLoader.ReadManifest(folder)));
            }
            catch (BundleRefusedException exception)
            {
                _logger.LogWarning("The bundle in {Folder} is left out: {Reason}", folder, exception.Message);
            }
        }

        return [.. summaries.OrderByDescending(summary => summary.Created).ThenBy(summary => summary.Version, StringComparer.Ordinal)];
    }

    /// <inheritdoc/>
    /// <exception cref="StorageException">The disk is full or cannot be written; nothing was stored.</exception>
    public async ValueTask<BundleSummary> AddAsync(Stream zip, CancellationToken cancellation) =>
        await AddAsync(staged => BundleArchive.UnpackAsync(zip, staged, _runtime.Options.MaxBundleBytes, cancellation), cancellation);

    /// <summary>As <see cref="AddAsync(Stream, CancellationToken)"/>, for a bundle that lies unpacked on this machine.</summary>
    /// <param name="folder">The bundle; it is copied.</param>
    /// <param name="cancellation">Stops between files.</param>
    /// <exception cref="BundleRefusedException">The bundle is not valid; nothing was stored.</exception>
    public async ValueTask<BundleSummary> AddFolderAsync(string folder, CancellationToken cancellation)
    {
        if (!Directory.Exists(folder))
        {
            throw BundleRefusal.MissingFile(Path.Combine(folder, ManifestReader.FileName));
        }

        return await AddAsync(staged => CopyAsync(folder, staged, cancellation), cancellation);
    }

    /// <inheritdoc/>
    public async ValueTask<IModel> LoadAsync(string version, CancellationToken cancellation)
    {
        var folder = FolderOf(version);
        if (folder is null || !Directory.Exists(folder))
        {
            throw BundleRefusal.Unknown(version);
        }

        // Seconds of work that never waits for anything: not on a thread that serves requests.
        var begin = _runtime.Clock.GetTimestamp();
        var model = await Task.Run(() => BundleLoader.LoadAsync(folder, _runtime, cancellation), cancellation);
        if (model.Layout.Version == version)
        {
            _logger.LogInformation(
                "Loaded bundle {Version} of recipe {Recipe} in {Milliseconds:F0} ms; its golden examples are met.",
                version, model.Layout.Recipe, _runtime.Clock.GetElapsedTime(begin).TotalMilliseconds);
            return model;
        }

        await model.DisposeAsync();
        throw BundleRefusal.ManifestInvalid("version", $"is {model.Layout.Version}, but the bundle was stored as {version}");
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidDataException">active.json was changed by somebody else and cannot be read.</exception>
    public ActiveVersions ReadActive()
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(_active), ActiveVersionsJson.Default.ActiveVersions)
                ?? throw new InvalidDataException($"{_active} holds null.");
        }
        catch (FileNotFoundException)
        {
            return new ActiveVersions(null, null);
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException($"{_active} cannot be read: {exception.Message} Delete it to start without an active bundle.", exception);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="StorageException">The disk is full or cannot be written; what was recorded before stays.</exception>
    public void WriteActive(ActiveVersions versions)
    {
        lock (_placing)
        {
            try
            {
                DurableFiles.Replace(_active, JsonSerializer.SerializeToUtf8Bytes(versions, ActiveVersionsJson.Default.ActiveVersions));
            }
            catch (Exception exception) when (IsOfDisk(exception))
            {
                throw Failure("The active bundle could not be recorded", exception);
            }
        }
    }

    private async Task<BundleSummary> AddAsync(Func<string, Task> fill, CancellationToken cancellation)
    {
        var staged = Path.Combine(_staging, Guid.NewGuid().ToString("N"));
        try
        {
            Directory.CreateDirectory(staged);
            await fill(staged);
            var manifest = await BundleLoader.CheckFilesAsync(staged, cancellation);
            return await PlaceAsync(staged, FolderOf(manifest.Version)!, cancellation);
        }
        catch (Exception exception) when (IsOfDisk(exception))
        {
            throw Failure("The bundle could not be stored", exception);
        }
        finally
        {
            if (Directory.Exists(staged))
            {
                Directory.Delete(staged, recursive: true);
            }
        }
    }

    /// <summary>Moves a checked bundle to its place, unless it is there already.</summary>
    private async Task<BundleSummary> PlaceAsync(string staged, string folder, CancellationToken cancellation)
    {
        var isPlaced = false;
        while (!isPlaced)
        {
            var seen = Volatile.Read(ref _placements);
            isPlaced = await IsWholeAsync(folder, cancellation) || TryPlace(staged, folder, seen);
        }

        return Summarize(folder, BundleLoader.ReadManifest(folder));
    }

    /// <returns>False if another bundle was placed since <paramref name="seen"/> was read: it may have been this one.</returns>
    private bool TryPlace(string staged, string folder, int seen)
    {
        lock (_placing)
        {
            if (_placements != seen)
            {
                return false;
            }

            // A copy that was damaged on disk makes room for the good one. Loaded models have their files in memory.
            var damaged = staged + ".damaged";
            if (Directory.Exists(folder))
            {
                Directory.Move(folder, damaged);
            }

            DurableFiles.MoveFolder(staged, folder);
            _placements++;
            if (Directory.Exists(damaged))
            {
                Directory.Delete(damaged, recursive: true);
            }
        }

        _logger.LogInformation("Stored bundle {Version}.", Path.GetFileName(folder));
        return true;
    }

    private static async Task<bool> IsWholeAsync(string folder, CancellationToken cancellation)
    {
        try
        {
            return Directory.Exists(folder) && await BundleLoader.CheckFilesAsync(folder, cancellation) is not null;
        }
        catch (BundleRefusedException)
        {
            return false;
        }
    }

    /// <summary>Where a version is kept; null for what is not a version, and so could lead out of the folder.</summary>
    private string? FolderOf(string version) => ManifestReader.IsVersion(version) ? Path.Combine(_bundles, version) : null;

    private static BundleSummary Summarize(string folder, Manifest manifest) =>
        manifest.ToSummary(new DirectoryInfo(folder).EnumerateFiles().Sum(file => file.Length));

    private static bool IsOfDisk(Exception exception) => exception is IOException or UnauthorizedAccessException;

    private static StorageException Failure(string what, Exception exception)
    {
        const int NoSpaceOnUnix = 28;
        const int NoSpaceOnWindows = unchecked((int)0x80070070);
        var code = exception.HResult is NoSpaceOnUnix or NoSpaceOnWindows ? StorageException.Full : StorageException.Unavailable;
        return new StorageException(code, $"{what}: {exception.Message}", exception);
    }

    private static async Task CopyAsync(string from, string to, CancellationToken cancellation)
    {
        foreach (var path in Directory.EnumerateFileSystemEntries(from))
        {
            if (Directory.Exists(path))
            {
                throw BundleRefusal.ManifestInvalid("files", $"does not name the folder {Path.GetFileName(path)}, which is in the bundle");
            }

            await using var source = File.OpenRead(path);
            await using var target = File.Create(Path.Combine(to, Path.GetFileName(path)));
            await source.CopyToAsync(target, cancellation);
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ActiveVersions))]
internal sealed partial class ActiveVersionsJson : JsonSerializerContext;
