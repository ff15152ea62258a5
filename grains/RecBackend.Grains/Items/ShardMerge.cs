using Orleans.Storage;
using RecBackend.Core.Storage;

namespace RecBackend.Grains.Items;

/// <summary>
/// One merge of a shard: rewrites what lives of the log, and of merged segments that are half dead or small, as few segments, and brings the stored index up to the end of that log. Goes on beside
/// writes: what is replaced meanwhile is carried along and dead at once.
/// <para>
/// Contents and representations go to segments of their own, so that whoever wants representations need not read pictures. Memory is bounded by two segments, a page of the index, and of each part
/// that was rewritten the places before and after, however large the shard.
/// </para>
/// </summary>
internal sealed class ShardMerge(ItemSegmentStore store, ShardContents contents, TimeProvider clock)
{
    /// <summary>
    /// How long a merged segment stays. Its name is a fence: an activation that was replaced without knowing it would write a segment of the same number, and must find that there is one.
    /// An hour is far above the time after which a silo that lost its cluster ends itself.
    /// </summary>
    public static readonly TimeSpan RetiredFor = TimeSpan.FromHours(1);

    /// <summary>Items of a page of the index: at most four megabytes.</summary>
    private const int PageItems = 20_000;

    /// <summary>Pages of the index after which it is written whole.</summary>
    private const int MostPages = 32;

    /// <summary>Merged segments that one merge rewrites at most.</summary>
    private const int MostRewritten = 32;

    /// <summary>Blobs that one merge deletes at most, and at once: more than it makes, and what is left is for the next.</summary>
    private const int MostDeleted = 1_000;
    private const int DeletedAtOnce = 8;

    private readonly List<MergedSegment> _written = [];
    private readonly List<long> _pages = [];
    private readonly List<long> _unlisted = [];
    private readonly HashSet<string> _touched = new(StringComparer.Ordinal);
    private readonly List<Moved> _moved = [];
    private readonly Parts _contents = new(contents.Index.MoveContent);
    private readonly Parts _representations = new(contents.Index.MoveRepresentations);
    private long _next = store.Manifest.NextMerged;
    private long _indexEntries;
    private bool _whole;

    /// <summary>Merges. What it throws leaves the shard as it was, but for blobs that the next merge finds.</summary>
    /// <exception cref="InconsistentStateException">Another activation writes this shard.</exception>
    public async Task RunAsync(CancellationToken cancellation)
    {
        try
        {
            await MergeAsync(cancellation);
        }
        catch
        {
            // No manifest names what was written: the next merge deletes it, and reads everything again where it lay.
            foreach (var (move, id, from, to) in _moved)
            {
                move(id, to, from);
            }

            throw;
        }
    }

    private async Task MergeAsync(CancellationToken cancellation)
    {
        var (manifest, end, logBytes) = (store.Manifest, contents.Next, contents.LogBytes);
        contents.Header.Ledger.Forget(clock.GetUtcNow());
        _whole = manifest.Index.Length == 0 || manifest.Index.Length > MostPages + (contents.Index.Count / PageItems) || manifest.IndexEntries > (2L * contents.Index.Count) + PageItems;
        var rewritten = Choose(logBytes);
        foreach (var segment in rewritten.Where(segment => contents.Index.LiveParts(segment.Number) > 0))
        {
            await RewriteAsync(segment.Number, cancellation);
        }

        for (var number = manifest.Tail; number < end; number++)
        {
            await RewriteAsync(number, cancellation);
        }

        await FlushAsync(_contents);
        await FlushAsync(_representations);
        await WriteIndexAsync(cancellation);

        var now = clock.GetUtcNow();
        var retired = await DeleteExpiredAsync(manifest.Retired, now, cancellation);
        var merged = contents.Merged.Except(rewritten).Concat(_written).ToArray();
        await store.WriteManifestAsync(new()
        {
            Shards = manifest.Shards,
            Tail = end,
            NextMerged = _next,
            Segments = merged,
            Index = _whole ? [.. _pages] : [.. manifest.Index, .. _pages],
            IndexEntries = (_whole ? 0 : manifest.IndexEntries) + _indexEntries,
            Retired =
            [
                .. retired,
                .. _unlisted.Concat(rewritten.Select(segment => segment.Number)).Concat(_whole ? manifest.Index : []).Select(number => new RetiredSegment(number, now.ToUnixTimeMilliseconds())),
                .. end > manifest.Tail ? [new(manifest.Tail, now.ToUnixTimeMilliseconds(), (int)(end - manifest.Tail - 1))] : Array.Empty<RetiredSegment>(),
            ],
        });

        contents.Merged.Clear();
        contents.Merged.AddRange(merged);
        contents.LogBytes -= logBytes;
        foreach (var number in rewritten.Select(segment => segment.Number).Concat(Enumerable.Range(0, (int)(end - manifest.Tail)).Select(more => manifest.Tail + more)))
        {
            store.Release(number);
        }
    }

    /// <summary>
    /// Merged segments of which half is dead, and small ones: those that are no larger than what is merged with them, so that an item is rewritten a few times while segments grow, and not with each merge.
    /// </summary>
    private List<MergedSegment> Choose(long logBytes)
    {
        var dead = contents.Merged.Where(segment => contents.Index.LiveParts(segment.Number) == 0);
        var stale = contents.Merged.Where(segment => contents.Index.LiveParts(segment.Number) is var live && live > 0 && 2 * live < segment.Parts).Take(MostRewritten).ToList();
        var bytes = logBytes + stale.Sum(segment => segment.Bytes);
        foreach (var segment in contents.Merged.Except(stale).Where(segment => segment.Bytes < ItemShard.SegmentBytes / 2).OrderBy(segment => segment.Bytes).ToList())
        {
            if (segment.Bytes > bytes || stale.Count >= MostRewritten)
            {
                break;
            }

            stale.Add(segment);
            bytes += segment.Bytes;
        }

        return [.. dead.Union(stale)];
    }

    private async Task RewriteAsync(long number, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var segment = await store.ReadAsync(number, keep: false, cancellation) ?? throw new StorageException(StorageException.Unreadable, $"The segment {number} of a shard of items is missing.");
        for (var i = 0; i < segment.Entries.Length; i++)
        {
            var (entry, place) = (segment.Entries[i], new Place(number, i));
            if (number > 0)
            {
                await TouchAsync(entry.Id);
            }

            if (entry.Content is not null && contents.Index.HasContentAt(entry.Id, place))
            {
                await KeepAsync(_contents, new() { Id = entry.Id, Version = entry.Version, Content = entry.Content }, place);
            }

            if (entry.Representations is not null && contents.Index.HasRepresentationsAt(entry.Id, place))
            {
                await KeepAsync(_representations, new() { Id = entry.Id, Version = entry.Version, Representations = entry.Representations }, place);
            }
        }
    }

    private async Task KeepAsync(Parts parts, ItemEntry entry, Place from)
    {
        parts.Add(entry, from);
        if (parts.Bytes >= ItemShard.SegmentBytes)
        {
            await FlushAsync(parts);
        }
    }

    private async Task FlushAsync(Parts parts)
    {
        if (parts.Entries.Count == 0)
        {
            return;
        }

        var segment = new ItemSegment { Entries = [.. parts.Entries] };
        var number = await WriteNewAsync(number => store.WriteAsync(number, segment));
        _written.Add(new(number, parts.Entries.Count, parts.Bytes));
        for (var i = 0; i < segment.Entries.Length; i++)
        {
            var moved = new Moved(parts.Move, segment.Entries[i].Id, parts.From[i], new(number, i));
            moved.Move(moved.Id, moved.From, moved.To);
            _moved.Add(moved);
            await TouchAsync(moved.Id);
        }

        parts.Clear();
    }

    /// <summary>An item of which the stored index must be told.</summary>
    private async Task TouchAsync(string id)
    {
        if (!_whole && _touched.Add(id) && _touched.Count == PageItems)
        {
            await WritePageAsync(_touched, header: null);
            _touched.Clear();
        }
    }

    private async Task WriteIndexAsync(CancellationToken cancellation)
    {
        if (_whole)
        {
            // Items that come meanwhile are in the log; those that go are passed over here, or their deletion is in the log.
            string[] ids = [.. contents.Index.Items.Keys];
            foreach (var page in ids.Chunk(PageItems))
            {
                cancellation.ThrowIfCancellationRequested();
                await WritePageAsync(page.Where(id => contents.Index.Find(id) is not null), header: null);
            }
        }

        await WritePageAsync(_touched, contents.Header.Copy());
    }

    private async Task WritePageAsync(IEnumerable<string> ids, ShardHeader? header)
    {
        var page = new IndexPage { Entries = [.. ids.Select(id => contents.Index.Entry(id, contents.Version))], Header = header, Version = contents.Version };
        _pages.Add(await WriteNewAsync(number => store.WritePageAsync(number, page)));
        _indexEntries += page.Entries.Length;
    }

    /// <summary>Writes under the next number that is free: a merge that was cut off may have left blobs that no manifest names.</summary>
    private async Task<long> WriteNewAsync(Func<long, Task> write)
    {
        while (true)
        {
            var number = -_next++;
            try
            {
                await write(number);
                return number;
            }
            catch (InconsistentStateException)
            {
                // To be deleted when whoever wrote it can no more be writing the manifest that names it: that of this merge comes first, or this merge fails.
                _unlisted.Add(number);
            }
        }
    }

    /// <summary>Deletes what was merged long ago.</summary>
    /// <returns>What the manifest must still name: what is younger, or could not be deleted.</returns>
    private async Task<List<RetiredSegment>> DeleteExpiredAsync(RetiredSegment[] retired, DateTimeOffset now, CancellationToken cancellation)
    {
        var expired = (now - RetiredFor).ToUnixTimeMilliseconds();
        var left = new List<RetiredSegment>();
        var deleted = 0;
        foreach (var range in retired)
        {
            if (range.At >= expired || deleted >= MostDeleted || !await DeleteAsync(range, cancellation))
            {
                left.Add(range);
            }
            else
            {
                deleted += 1 + range.More;
            }
        }

        return left;
    }

    private async Task<bool> DeleteAsync(RetiredSegment range, CancellationToken cancellation)
    {
        try
        {
            foreach (var numbers in Enumerable.Range(0, range.More + 1).Select(more => range.Segment + more).Chunk(DeletedAtOnce))
            {
                cancellation.ThrowIfCancellationRequested();
                await Task.WhenAll(numbers.Select(store.DeleteAsync));
            }

            return true;
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            // The next merge tries again.
            return false;
        }
    }

    /// <summary>A part that was rewritten.</summary>
    private readonly record struct Moved(Action<string, Place, Place> Move, string Id, Place From, Place To);

    /// <summary>Contents, or representations, that go to one segment.</summary>
    private sealed class Parts(Action<string, Place, Place> move)
    {
        public Action<string, Place, Place> Move => move;

        public List<ItemEntry> Entries { get; } = [];

        /// <summary>Where each lay before.</summary>
        public List<Place> From { get; } = [];

        public long Bytes { get; private set; }

        public void Add(ItemEntry entry, Place from)
        {
            Entries.Add(entry);
            From.Add(from);
            Bytes += entry.Size();
        }

        public void Clear()
        {
            Entries.Clear();
            From.Clear();
            Bytes = 0;
        }
    }
}
