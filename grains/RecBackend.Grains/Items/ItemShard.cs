using Microsoft.Extensions.Logging;
using Orleans.Storage;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Grains.Counting;

namespace RecBackend.Grains.Items;

/// <summary>
/// The items of one shard: an index in memory over segments in storage. Writes that come while a segment is written share the next one; a segment that is stored is applied to the index and told,
/// so nothing is ever seen that is not durable, and a write that fails has nothing to undo. For one thread of control, which may interleave at awaits.
/// </summary>
internal sealed class ItemShard(ItemSegmentStore store, ShardTurns turns, Func<IReadOnlyList<ItemChange>, Task> tell, TimeProvider clock, ILogger? log = null) : IAsyncDisposable
{
    /// <summary>A write that has so many bytes leaves what waits to the next.</summary>
    public const int SegmentBytes = 4 << 20;

    /// <summary>Segments of the log after which they are merged, or their bytes: what a load has to read beside the index.</summary>
    private const int MergeAfter = 64;

    /// <summary>After a merge that failed: what it wrote stays until one succeeds.</summary>
    private static readonly TimeSpan MergePause = TimeSpan.FromMinutes(1);
    private const long MergeAfterBytes = 16 * SegmentBytes;

    private readonly ShardContents _contents = new();
    private readonly Queue<WaitingCall> _waiting = new();
    private readonly CancellationTokenSource _closing = new();
    private DateTimeOffset _fenced;
    private DateTimeOffset _nextMerge;
    private bool _writing;

    /// <summary>Why nothing more can be written, or null. The shard must then be loaded anew.</summary>
    public StorageException? Failure { get; private set; }

    /// <summary>The merge that is under way, if there is one.</summary>
    public Task Merging { get; private set; } = Task.CompletedTask;

    public int Count => _contents.Index.Count;

    /// <summary>The highest version that was given away.</summary>
    public long Version => _contents.Version;

    /// <summary>What is where, by ID.</summary>
    public ItemIndex Index => _contents.Index;

    /// <summary>Reads the index and the log after it.</summary>
    /// <param name="shards">Number of shards of this cluster.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="StorageException">They were written by a cluster with another number of shards, or cannot be read.</exception>
    public async Task LoadAsync(int shards, CancellationToken cancellation = default)
    {
        _fenced = clock.GetUtcNow();
        await new ShardLoad(store, _contents, turns).RunAsync(shards, cancellation);

        // What version 0.1 has stored has no index: the next load should find one.
        StartMergeIf(store.Manifest.Merged.Length > 0 || IsMergeDue);
    }

    public bool Exists(string id) => _contents.Index.Find(id) is not null;

    /// <summary>The item of this ID, or null.</summary>
    /// <param name="id">The item.</param>
    /// <param name="content">Whether its content is wanted, which takes a read more; else it is empty.</param>
    public async ValueTask<ItemState?> ReadAsync(string id, bool content = true)
    {
        var missing = default(Place);
        while (_contents.Index.Find(id) is { } item)
        {
            var (versions, contentVersion, counters) = (item.Versions, item.ContentVersion, item.Counters);
            var (contentAt, representationsAt, representationsVersion) = (item.Content, item.Representations, item.RepresentationsVersion);
            var (contents, representations) = (content ? await EntryAsync(id, contentAt) : null, await EntryAsync(id, representationsAt));
            if (representations?.Representations is { } stored && (contents?.Content is not null || !content))
            {
                var kept = _contents.Header.Kept(stored, representationsVersion).Select(one => one.ToRepresentation());
                return new(new(id, versions.Item, contents?.Content?.ToContent() ?? new(), counters, [.. kept]) { RowVersion = versions.Row }, contentVersion);
            }

            // Merged into another segment, or written anew, meanwhile: the index knows. Else another activation has taken over, and deleted what it merged.
            var lost = representations?.Representations is null ? representationsAt : contentAt;
            if (lost == missing)
            {
                throw Failure ??= new(StorageException.Unavailable, $"The segment {lost.Segment} of a shard of the items is gone.");
            }

            missing = lost;
        }

        return null;
    }

    public Task<long[]> UpsertAsync(IReadOnlyList<ItemUpsert> upserts) => WriteAsync(async group =>
    {
        var versions = new long[upserts.Count];
        for (var i = 0; i < versions.Length; i++)
        {
            var before = await group.FindForUpsertAsync(upserts[i].Id);
            var after = ItemState.Upsert(before, upserts[i], versions[i] = group.NextVersion());
            group.Put(after, content: true, counters: before is null, ItemChangeKind.Written);
        }

        return versions;
    });

    public Task<bool[]> SetRepresentationsAsync(IReadOnlyList<RepresentationUpdate> updates) => WriteAsync(async group =>
    {
        var applied = new bool[updates.Count];
        for (var i = 0; i < applied.Length; i++)
        {
            var before = await group.FindAsync(updates[i].Id);
            if (before is not null && before.WithRepresentation(updates[i], group.NextVersion()) is { } after)
            {
                applied[i] = true;
                if (after != before)
                {
                    group.Put(after, content: false, counters: false, ItemChangeKind.Written);
                }
            }
        }

        return applied;
    });

    public Task<bool[]> DeleteAsync(IReadOnlyList<string> ids) => WriteAsync(group => Task.FromResult(ids.Select(group.Delete).ToArray()));

    public Task<bool> TrimAsync(string[] keep) => WriteAsync(group =>
    {
        group.Trim(keep);
        return Task.FromResult(true);
    });

    /// <summary>Adds a batch of counts; false if it must come alone.</summary>
    public Task<bool> CountAsync(CountBatch batch, IReadOnlyList<ItemCount> counts, IReadOnlyList<string> leftOut) => WriteAsync(group => Task.FromResult(group.Count(batch, counts, leftOut)));

    /// <summary>Adds one user's part of a batch; false if it was counted before.</summary>
    public Task<bool> CountAloneAsync(UserOfBatch part, IReadOnlyList<ItemCount> counts) => WriteAsync(group => Task.FromResult(group.CountAlone(part, counts)));

    /// <summary>Ends a merge that is under way. Nothing may be written after it. May be called more than once.</summary>
    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync();
        await Merging;
    }

    private async Task<TResult> WriteAsync<TResult>(Func<WriteGroup, Task<TResult>> decide)
    {
        if (Failure is not null)
        {
            throw Failure;
        }

        var waiting = new WaitingCall<TResult>(decide);
        _waiting.Enqueue(waiting);
        if (!_writing)
        {
            _writing = true;
            try
            {
                while (_waiting.Count > 0)
                {
                    await WriteGroupAsync();
                }
            }
            finally
            {
                _writing = false;
            }
        }

        return await waiting.Result;
    }

    /// <summary>Decides what waits, stores it in one segment, and sees to it that it is answered. Never throws: whoever waits gets the error.</summary>
    private async Task WriteGroupAsync()
    {
        var group = new WriteGroup(_contents, id => ReadAsync(id, content: false));
        var decided = new List<WaitingCall>();
        try
        {
            await RenewFenceAsync();
            while (group.Bytes < SegmentBytes && _waiting.TryDequeue(out var waiting))
            {
                decided.Add(waiting);
                await waiting.DecideAsync(group);
            }

            if (group.ToSegment() is { } segment)
            {
                await store.WriteAsync(_contents.Next, segment);
                _contents.ApplyLog(segment);
                _fenced = clock.GetUtcNow();
            }
        }
        catch (Exception error)
        {
            // Whether the segment was stored is not known: only reading it again can tell.
            Failure = error as StorageException ?? new StorageException(
                StorageException.Unavailable, $"Items could not be stored: {error.Message} The outcome is unknown; it is safe to send the call again.", error);
            while (_waiting.TryDequeue(out var waiting))
            {
                decided.Add(waiting);
            }

            decided.ForEach(waiting => waiting.Fail(Failure));
            return;
        }

        _ = AnswerAsync(decided, group.Changes);
        StartMergeIf(IsMergeDue);
    }

    /// <summary>Tells what is durable, then answers. The next group does not wait for it: a silo that is slow to listen costs its callers time, but not the shard.</summary>
    private async Task AnswerAsync(List<WaitingCall> decided, List<ItemChange> changes)
    {
        try
        {
            if (changes.Count > 0)
            {
                await tell(changes);
            }
        }
        catch (Exception)
        {
            // Delivery is not relied on, and what is durable must not be answered by an error.
        }

        decided.ForEach(waiting => waiting.Answer());
    }

    /// <summary>A shard that wrote nothing for long may have been replaced, and the segments that would tell it may be gone: it looks whether its log is still the one that it read.</summary>
    private async Task RenewFenceAsync()
    {
        if (clock.GetUtcNow() - _fenced < ShardMerge.RetiredFor / 2)
        {
            return;
        }

        if (!await store.IsManifestCurrentAsync())
        {
            throw new StorageException(StorageException.Unavailable, "Another silo has taken over this shard of the items. Nothing was stored; it is safe to send the call again.");
        }

        _fenced = clock.GetUtcNow();
    }

    private async ValueTask<ItemEntry?> EntryAsync(string id, Place place) =>
        await store.ReadAsync(place.Segment) is { } segment && segment.Entries[place.Entry] is var entry && entry.Id == id ? entry : null;

    private bool IsMergeDue => _contents.Next - store.Manifest.Tail >= MergeAfter || _contents.LogBytes >= MergeAfterBytes;

    private void StartMergeIf(bool due)
    {
        if (due && Merging.IsCompleted && Failure is null && clock.GetUtcNow() >= _nextMerge)
        {
            Merging = MergeAsync();
        }
    }

    private async Task MergeAsync()
    {
        try
        {
            using var turn = await turns.MergeAsync(_closing.Token);
            await new ShardMerge(store, _contents, clock).RunAsync(_closing.Token);
        }
        catch (OperationCanceledException) when (_closing.IsCancellationRequested)
        {
            // What it wrote is found, and deleted, by the next one.
        }
        catch (Exception error) when (error is not InconsistentStateException)
        {
            // Nothing is lost: the shard is as it was, and goes on with a longer log.
            log?.LogWarning(error, "The log of a shard of items could not be merged; tried again in {Pause}", MergePause);
            _nextMerge = clock.GetUtcNow() + MergePause;
        }
        catch (Exception error)
        {
            // An activation that finds another one's manifest is not the writer any more.
            Failure ??= new StorageException(StorageException.Unavailable, $"The log of a shard of items could not be merged: {error.Message}", error);
        }
    }
}
