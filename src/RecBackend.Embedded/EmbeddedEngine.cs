using Microsoft.Extensions.Logging;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Core.Users;
using RecBackend.Embedded.Items;
using RecBackend.Embedded.Storage;
using RecBackend.Embedded.Users;

namespace RecBackend.Embedded;

/// <summary>How far <see cref="EmbeddedEngine.OpenAsync"/> is.</summary>
/// <param name="Done">Items read.</param>
/// <param name="Total">Items stored.</param>
public readonly record struct OpeningProgress(long Done, long Total);

/// <summary>
/// The engine for one process: users and items, durable in one SQLite file. A write that has returned survives <c>kill -9</c> and power loss.
/// <para>
/// All writes go through one thread that commits them in groups (<see cref="GroupCommit"/>); reads never wait for it. In memory are recently used users and, of every item, its counters.
/// </para>
/// </summary>
public sealed class EmbeddedEngine : IAsyncDisposable
{
    private readonly StateDirectory _directory;
    private readonly Database _writer;
    private readonly ReadSessions _reads;
    private readonly GroupCommit _commits;
    private readonly EngineTransaction _transaction;
    private readonly UserCache _cache;
    private readonly ITimer _sweeps;
    private int _disposed;

    private EmbeddedEngine(StateDirectory directory, Database writer, ItemTable items, EmbeddedOptions options, TimeProvider clock, ILogger logger)
    {
        _directory = directory;
        _writer = writer;
        _cache = new UserCache(options.UserCacheBytes, static sweep => ThreadPool.QueueUserWorkItem(_ => sweep()));
        _reads = new ReadSessions(directory.DatabaseFile, options.ReadConnections);
        var feed = new ItemChangeFeed(logger);
        _transaction = new EngineTransaction(writer, new UserWrites(writer, _cache, clock), new ItemWrites(writer, items, feed), logger);
        _commits = new GroupCommit(_transaction, options.MaxQueuedEntries, logger);
        Users = new UserDirectory(_cache, _reads, _commits, _transaction);
        Items = new ItemDirectory(directory.DatabaseFile, items, _reads, _commits, _transaction);
        Changes = feed;
        _sweeps = clock.CreateTimer(static engine => ((EmbeddedEngine)engine!).Sweep(), this, options.UserIdleTime, options.UserIdleTime);
    }

    /// <summary>The users.</summary>
    public IUserDirectory Users { get; }

    /// <summary>The items.</summary>
    public IItemDirectory Items { get; }

    /// <summary>Changes of items, told before the call that made them returns.</summary>
    public IItemChangeFeed Changes { get; }

    internal UserCache Cache => _cache;

    /// <summary>Opens the state directory, made or migrated if need be, and reads the items' counters (about a second for a million items).</summary>
    /// <param name="options">Settings.</param>
    /// <param name="clock">The time; event IDs are remembered by it.</param>
    /// <param name="logger">Told of progress every few seconds, of migrations and of faults.</param>
    /// <param name="progress">Told of progress, or null.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="ArgumentException">A setting is out of range.</exception>
    /// <exception cref="StorageException">
    /// The directory cannot be written or belongs to a running server (<c>storage_unavailable</c>), has no space (<c>storage_full</c>), or its file is damaged or of a newer program
    /// (<c>storage_unreadable</c>).
    /// </exception>
    public static Task<EmbeddedEngine> OpenAsync(
        EmbeddedOptions options, TimeProvider clock, ILogger logger, IProgress<OpeningProgress>? progress = null, CancellationToken cancellation = default)
    {
        options.Validate();

        // SQLite blocks; the caller's thread may have other things to do.
        return Task.Run(() => Open(options, clock, logger, progress, cancellation), cancellation);
    }

    /// <summary>Stores what was handed in, then closes.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 1)
        {
            return;
        }

        await _sweeps.DisposeAsync();
        await _commits.DisposeAsync();
        _reads.Dispose();
        _writer.Dispose();
        _directory.Dispose();
    }

    private static EmbeddedEngine Open(
        EmbeddedOptions options, TimeProvider clock, ILogger logger, IProgress<OpeningProgress>? progress, CancellationToken cancellation)
    {
        var started = clock.GetTimestamp();
        var told = started;
        var directory = StateDirectory.Acquire(options.Directory);
        Database? writer = null;
        try
        {
            writer = Database.OpenWriter(directory.DatabaseFile);
            Schema.Ensure(writer, directory.DatabaseFile, logger);
            var items = ItemTable.Load(writer, Report, cancellation);
            logger.LogInformation("Opened {Directory}: {Items} items in {Elapsed}", directory.Path, items.Count, clock.GetElapsedTime(started));
            return new EmbeddedEngine(directory, writer, items, options, clock, logger);
        }
        catch (StorageException fault) when (!fault.Message.Contains(directory.DatabaseFile, StringComparison.Ordinal))
        {
            writer?.Dispose();
            directory.Dispose();
            throw new StorageException(fault.Code, $"{directory.DatabaseFile}: {fault.Message}", fault);
        }
        catch
        {
            writer?.Dispose();
            directory.Dispose();
            throw;
        }

        void Report(long done, long total)
        {
            progress?.Report(new(done, total));
            if (clock.GetElapsedTime(told) >= TimeSpan.FromSeconds(2))
            {
                told = clock.GetTimestamp();
                logger.LogInformation("Reading items: {Done} of {Total}", done, total);
            }
        }
    }

    /// <summary>Drops users who were not asked for since the last call.</summary>
    internal void Sweep()
    {
        _cache.SweepIdle();
        _ = TruncateLogAsync();
    }

    private async Task TruncateLogAsync()
    {
        try
        {
            await _commits.RunAsync(0, () => true, CancellationToken.None);
        }
        catch (Exception exception) when (exception is StorageException or ObjectDisposedException)
        {
            // Nothing is lost: the next commit tries again.
        }
    }
}
