using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Grains.Counting;

namespace RecBackend.Grains.Items;

/// <summary>
/// The items of one shard: an index in memory over segments in storage. Writes that come while a segment is written share the next one; a segment that is stored is applied to the index and told,
/// so nothing is ever seen that is not durable, and a write that fails has nothing to undo. For one thread of control, which may interleave at awaits.
/// </summary>
internal sealed class ItemShard(ItemSegmentStore segments, Func<IReadOnlyList<ItemChange>, Task> tell, TimeProvider clock)
{
    /// <summary>A write that has so many bytes leaves what waits to the next.</summary>
    private const int SegmentBytes = 4 << 20;

    /// <summary>Segments that a load reads at once.</summary>
    private const int ReadAhead = 8;

    /// <summary>Log segments after which they are merged: what a restart has to read one by one.</summary>
    private const int MergeAfter = 64;

    /// <summary>
    /// How long a merged segment stays. Its name is a fence: an activation that was replaced without knowing it would write a segment of the same number, and must find that there is one.
    /// An hour is far above the time after which a silo that lost its cluster ends itself.
    /// </summary>
    private static readonly TimeSpan RetiredFor = TimeSpan.FromHours(1);

    private readonly ItemIndex _index = new();
    private readonly Queue<Waiting> _waiting = new();
    private readonly Dictionary<long, int> _parts = [];
    private ShardHeader _header = new();
    private long _headerVersion = -1;
    private long _version;
    private long _next;
    private DateTimeOffset _fenced;
    private bool _writing;
    private Task _merging = Task.CompletedTask;

    /// <summary>Why nothing more can be written, or null. The shard must then be loaded anew.</summary>
    public StorageException? Failure { get; private set; }

    public int Count => _index.Count;

    public IEnumerable<string> Ids => _index.Items.OrderBy(item => item.Value.Content.Segment).ThenBy(item => item.Value.Content.Entry).Select(item => item.Key);

    /// <summary>Reads all segments.</summary>
    /// <param name="shards">Number of shards of this cluster.</param>
    /// <exception cref="StorageException">They were written by a cluster with another number of shards.</exception>
    public async Task LoadAsync(int shards)
    {
        _fenced = clock.GetUtcNow();
        await segments.ReadManifestAsync();
        if (segments.Manifest.Shards == 0)
        {
            await segments.WriteManifestAsync(new() { Shards = shards });
        }
        else if (segments.Manifest.Shards != shards)
        {
            throw new StorageException(
                StorageException.Unreadable, $"The stored items are spread over {segments.Manifest.Shards} shards and this silo is set to {shards}; set it to {segments.Manifest.Shards}.");
        }

        foreach (var page in segments.Manifest.Merged.Chunk(ReadAhead))
        {
            foreach (var (number, segment) in page.Zip(await ReadSegmentsAsync(page)))
            {
                Apply(number, segment ?? throw new StorageException(StorageException.Unreadable, $"The merged segment {-number} of a shard of items is missing."));
            }
        }

        // The log ends where a segment is missing.
        for (_next = segments.Manifest.Tail; ;)
        {
            foreach (var segment in await ReadSegmentsAsync([.. Enumerable.Range(0, ReadAhead).Select(ahead => _next + ahead)]))
            {
                if (segment is null)
                {
                    return;
                }

                Apply(_next++, segment);
            }
        }
    }

    private Task<ItemSegment?[]> ReadSegmentsAsync(long[] numbers) => Task.WhenAll(numbers.Select(number => segments.ReadAsync(number).AsTask()));

    /// <summary>See <see cref="ItemIndex.Digests"/>.</summary>
    public IReadOnlyList<CatalogDigest> Digests => _index.Digests;

    /// <summary>See <see cref="ItemIndex.VersionsOf"/>.</summary>
    public IEnumerable<KeyValuePair<string, ItemVersions>> VersionsOf(int digest) => _index.VersionsOf(digest);

    /// <summary>The highest version that was given away.</summary>
    public long Version => _version;

    /// <summary>See <see cref="ItemIndex.ChangedSince"/>.</summary>
    public IEnumerable<KeyValuePair<string, ItemVersions>> ChangedSince(long version) => _index.ChangedSince(version);

    /// <summary>See <see cref="ItemIndex.DeletedSince"/>.</summary>
    public IEnumerable<KeyValuePair<string, long>> DeletedSince(long version) => _index.DeletedSince(version);

    public bool Exists(string id) => _index.Find(id) is not null;

    /// <summary>The items of these IDs; null where there is none.</summary>
    public async Task<ItemState?[]> ReadAsync(IReadOnlyList<string> ids)
    {
        var states = new ItemState?[ids.Count];
        for (var i = 0; i < states.Length; i++)
        {
            states[i] = await ReadAsync(ids[i]);
        }

        return states;
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
                group.Put(after, content: false, counters: false, ItemChangeKind.Written);
                applied[i] = true;
            }
        }

        return applied;
    });

    public Task<bool[]> DeleteAsync(IReadOnlyList<string> ids) => WriteAsync(group =>
    {
        var deleted = new bool[ids.Count];
        for (var i = 0; i < deleted.Length; i++)
        {
            deleted[i] = group.Delete(ids[i]);
        }

        return Task.FromResult(deleted);
    });

    public Task<bool> TrimAsync(string[] keep) => WriteAsync(group =>
    {
        var last = group.Header.Trims.LastOrDefault();
        if (last is null || !last.Keep.ToHashSet(StringComparer.Ordinal).SetEquals(keep))
        {
            group.ChangeHeader().Trims = [.. group.Header.Trims, new(group.NextVersion(), keep)];
        }

        return Task.FromResult(true);
    });

    /// <summary>Adds a batch of counts; false if it must come alone.</summary>
    public Task<bool> CountAsync(CountBatch batch, IReadOnlyList<ItemCount> counts, IReadOnlyList<string> leftOut) => WriteAsync(group =>
    {
        var decision = group.Header.Ledger.Decide(batch);
        if (decision == CountDecision.Count)
        {
            group.ChangeHeader().Ledger.Note(batch, leftOut);
            group.Count(counts);
        }

        return Task.FromResult(decision != CountDecision.Refuse);
    });

    /// <summary>Adds one user's part of a batch.</summary>
    public Task<bool> CountAloneAsync(UserOfBatch part, IReadOnlyList<ItemCount> counts) => WriteAsync(group =>
    {
        if (group.Header.Ledger.DecideAlone(part) == CountDecision.Count)
        {
            group.ChangeHeader().Ledger.NoteAlone(part);
            group.Count(counts);
        }

        return Task.FromResult(true);
    });

    /// <summary>Waits for a merge that is under way.</summary>
    public Task CloseAsync() => _merging;

    private async Task<TResult> WriteAsync<TResult>(Func<Group, Task<TResult>> decide)
    {
        if (Failure is not null)
        {
            throw Failure;
        }

        var waiting = new Waiting<TResult>(decide);
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

    /// <summary>Decides what waits, stores it in one segment, and answers. Never throws: whoever waits gets the error.</summary>
    private async Task WriteGroupAsync()
    {
        var group = new Group(this);
        var decided = new List<Waiting>();
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
                await segments.WriteAsync(_next, segment);
                Apply(_next++, segment);
                _fenced = clock.GetUtcNow();
                _version = Math.Max(_version, group.Version);
                await tell(group.Changes);
            }

            decided.ForEach(waiting => waiting.Answer());
            StartMergeIfDue();
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
        }
    }

    /// <summary>A shard that wrote nothing for long may have been replaced, and the segments that would tell it may be gone: it looks whether its log is still the one that it read.</summary>
    private async Task RenewFenceAsync()
    {
        if (clock.GetUtcNow() - _fenced < RetiredFor / 2)
        {
            return;
        }

        if (!await segments.IsManifestCurrentAsync())
        {
            throw new StorageException(StorageException.Unavailable, "Another silo has taken over this shard of the items. Nothing was stored; it is safe to send the call again.");
        }

        _fenced = clock.GetUtcNow();
    }

    private void Apply(long number, ItemSegment segment)
    {
        for (var i = 0; i < segment.Entries.Length; i++)
        {
            _index.Apply(segment.Entries[i], new(number, i));
        }

        _parts[number] = Math.Max(1, _index.LiveParts(number));
        _version = Math.Max(_version, segment.Version);
        if (segment.Header is { } header && segment.Version > _headerVersion)
        {
            (_header, _headerVersion) = (header, segment.Version);
        }
    }

    private async ValueTask<ItemState?> ReadAsync(string id)
    {
        while (_index.Find(id) is { } item)
        {
            var (versions, contentVersion, counters) = (item.Versions, item.ContentVersion, item.Counters);
            var representationsVersion = item.RepresentationsVersion;
            var content = await EntryAsync(item.Content);
            var representations = await EntryAsync(item.Representations);
            if (content?.Content is null || representations?.Representations is null)
            {
                // Merged into another segment, or written anew, meanwhile: the index knows.
                continue;
            }

            var kept = _header.Kept(representations.Representations, representationsVersion).Select(one => one.ToRepresentation());
            return new(new(id, versions.Item, content.Content.ToContent(), counters, [.. kept]) { RowVersion = versions.Row }, contentVersion);
        }

        return null;

        async ValueTask<ItemEntry?> EntryAsync(Place place) =>
            await segments.ReadAsync(place.Segment) is { } segment && segment.Entries[place.Entry] is var entry && entry.Id == id ? entry : null;
    }

    private void StartMergeIfDue()
    {
        if (_next - segments.Manifest.Tail >= MergeAfter && _merging.IsCompleted)
        {
            _merging = MergeAsync();
        }
    }

    /// <summary>
    /// Rewrites the log so far, and merged segments of which half is dead, as few segments that hold what lives. Goes on beside writes: what becomes dead meanwhile is carried along and loses by
    /// its version.
    /// </summary>
    private async Task MergeAsync()
    {
        try
        {
            var manifest = segments.Manifest;
            var end = _next;
            long[] stale = [.. manifest.Merged.Where(merged => 2 * _index.LiveParts(merged) < _parts.GetValueOrDefault(merged))];
            List<long> sources = [.. stale];
            for (var log = manifest.Tail; log < end; log++)
            {
                sources.Add(log);
            }

            var (merged, nextMerged) = await RewriteAsync(sources, manifest.NextMerged);
            var now = clock.GetUtcNow();
            var expired = (now - RetiredFor).ToUnixTimeMilliseconds();
            await segments.WriteManifestAsync(new()
            {
                Shards = manifest.Shards,
                Merged = [.. manifest.Merged.Except(stale), .. merged.Select(one => one.Number)],
                Tail = end,
                NextMerged = nextMerged,
                Retired =
                [
                    .. manifest.Retired.Where(retired => retired.At >= expired),
                    .. sources.Select(source => new RetiredSegment(source, now.ToUnixTimeMilliseconds())),
                ],
            });

            foreach (var (number, segment) in merged)
            {
                Apply(number, segment);
            }

            foreach (var retired in manifest.Retired.Where(retired => retired.At < expired))
            {
                await segments.DeleteAsync(retired.Segment);
            }
        }
        catch (Exception error)
        {
            // Nothing is lost: the sources are as they were. But an activation that cannot write its manifest may not be the writer any more.
            Failure ??= new StorageException(StorageException.Unavailable, $"The log of a shard of items could not be merged: {error.Message}", error);
        }
    }

    private async Task<(List<(long Number, ItemSegment Segment)> Merged, long NextMerged)> RewriteAsync(IReadOnlyList<long> sources, long nextMerged)
    {
        var merged = new List<(long, ItemSegment)>();
        var entries = new List<ItemEntry>();
        var bytes = 0;
        foreach (var source in sources)
        {
            var segment = await segments.ReadAsync(source) ?? throw new StorageException(StorageException.Unreadable, $"The segment {source} of a shard of items is missing.");
            foreach (var entry in segment.Entries)
            {
                if (_index.Live(entry) is { } live)
                {
                    entries.Add(live);
                    bytes += live.Size();
                }

                if (bytes >= SegmentBytes)
                {
                    await WriteAsync(header: false);
                }
            }
        }

        // The last one carries the header, of which the sources may have held the only copy.
        await WriteAsync(header: true);
        return (merged, nextMerged);

        async Task WriteAsync(bool header)
        {
            // The version too: the sources may have held the highest, and a version must never be given twice.
            var segment = new ItemSegment { Entries = [.. entries], Header = header ? _header : null, Version = _version };

            // A merge that was cut off may have left a segment of this number that nobody reads.
            while (await segments.ReadAsync(-nextMerged) is not null)
            {
                nextMerged++;
            }

            await segments.WriteAsync(-nextMerged, segment);
            merged.Add((-nextMerged, segment));
            nextMerged++;
            entries.Clear();
            bytes = 0;
        }
    }

    /// <summary>The changes that share a segment, each seeing those before it.</summary>
    private sealed class Group(ItemShard shard)
    {
        private readonly Dictionary<string, ItemState?> _working = new(StringComparer.Ordinal);
        private readonly Dictionary<string, ItemCounters> _counters = new(StringComparer.Ordinal);
        private readonly List<ItemEntry> _entries = [];
        private ShardHeader? _header;

        public long Version { get; private set; } = shard._version;

        public int Bytes { get; private set; }

        public List<ItemChange> Changes { get; } = [];

        public ShardHeader Header => _header ?? shard._header;

        public long NextVersion() => ++Version;

        public ShardHeader ChangeHeader() => _header ??= shard._header.Copy();

        public async ValueTask<ItemState?> FindAsync(string id) =>
            (_working.TryGetValue(id, out var state) ? state : await shard.ReadAsync(id)) is { } found ? WithCounters(found) : null;

        /// <summary>The item with as much as an upsert keeps of it: counters, and representations only if one came from outside. A load that replaces a million items need not read them.</summary>
        public ValueTask<ItemState?> FindForUpsertAsync(string id) =>
            _working.ContainsKey(id) || shard._index.Find(id) is not { HasExternal: false } item
                ? FindAsync(id)
                : new(WithCounters(new(new(id, item.Version, new ItemContent(), item.Counters, []), item.ContentVersion)));

        public void Put(ItemState after, bool content, bool counters, ItemChangeKind kind)
        {
            var record = after.Record;
            _working[record.Id] = after;
            Add(new()
            {
                Id = record.Id,
                Version = record.Version,
                Content = content ? ContentState.Of(record.Content) : null,
                Representations = [.. record.Representations.Select(RepresentationState.Of)],
                Counters = counters ? CountersState.Of(record.Counters) : null,
            });
            Changes.Add(new(record.Id, record.Version, kind, record, record.Counters));
        }

        public bool Delete(string id)
        {
            if (!Exists(id))
            {
                return false;
            }

            _working[id] = null;
            _counters.Remove(id);
            var version = NextVersion();
            Add(new() { Id = id, Version = version, Deleted = true });
            Changes.Add(new(id, version, ItemChangeKind.Deleted, null, ItemCounters.None));
            return true;
        }

        public void Count(IReadOnlyList<ItemCount> counts)
        {
            foreach (var count in counts)
            {
                if (Exists(count.Item))
                {
                    var counters = CountersOf(count.Item).Plus(new(count.Impressions, count.Clicks, count.FirstSeen));
                    var version = NextVersion();
                    _counters[count.Item] = counters;
                    Add(new() { Id = count.Item, Version = version, Counters = CountersState.Of(counters) });
                    Changes.Add(new(count.Item, version, ItemChangeKind.Counted, null, counters));
                }
            }
        }

        public ItemSegment? ToSegment() =>
            _entries.Count == 0 && _header is null ? null : new() { Entries = [.. _entries], Header = _header, Version = _header is null ? Version : NextVersion() };

        private ItemCounters CountersOf(string id) =>
            _counters.TryGetValue(id, out var counted) ? counted
            : _working.TryGetValue(id, out var state) ? state!.Record.Counters
            : shard._index.Find(id)!.Counters;

        private ItemState WithCounters(ItemState state) =>
            _counters.TryGetValue(state.Record.Id, out var counted) ? state with { Record = state.Record with { Counters = counted } } : state;

        private bool Exists(string id) => _working.TryGetValue(id, out var state) ? state is not null : shard.Exists(id);

        private void Add(ItemEntry entry)
        {
            _entries.Add(entry);
            Bytes += entry.Size();
        }
    }

    /// <summary>A call that waits for its segment.</summary>
    private abstract class Waiting
    {
        public abstract Task DecideAsync(Group group);

        public abstract void Answer();

        public abstract void Fail(StorageException failure);
    }

    private sealed class Waiting<TResult>(Func<Group, Task<TResult>> decide) : Waiting
    {
        private readonly TaskCompletionSource<TResult> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private TResult _decided = default!;

        public Task<TResult> Result => _result.Task;

        public override async Task DecideAsync(Group group) => _decided = await decide(group);

        public override void Answer() => _result.TrySetResult(_decided);

        public override void Fail(StorageException failure) => _result.TrySetException(failure);
    }
}
