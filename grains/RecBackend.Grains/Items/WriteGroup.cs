using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Grains.Counting;

namespace RecBackend.Grains.Items;

/// <summary>The changes that share a segment, each seeing those before it.</summary>
/// <param name="shard">What is durable.</param>
/// <param name="read">Reads an item as it is stored, without its content: an upsert replaces that, and nothing else touches it.</param>
internal sealed class WriteGroup(ShardContents shard, Func<string, ValueTask<ItemState?>> read)
{
    private readonly Dictionary<string, ItemState?> _working = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ItemCounters> _counters = new(StringComparer.Ordinal);
    private readonly List<ItemEntry> _entries = [];
    private readonly CountLedger _ledger = shard.Header.Ledger.Addition();
    private RepresentationTrim[]? _trims;
    private bool _noted;
    private long _version = shard.Version;

    public int Bytes { get; private set; }

    public List<ItemChange> Changes { get; } = [];

    public long NextVersion() => ++_version;

    /// <summary>What is to be stored; null if nothing has changed.</summary>
    public ItemSegment? ToSegment() => _entries.Count == 0 && !_noted && _trims is null
        ? null
        : new() { Entries = [.. _entries], Version = _version, Counted = _noted ? _ledger : null, Trims = _trims };

    public async ValueTask<ItemState?> FindAsync(string id) =>
        (_working.TryGetValue(id, out var state) ? state : await read(id)) is { } found ? WithCounters(found) : null;

    /// <summary>The item with as much as an upsert keeps of it: counters, and representations only if one came from outside. A load that replaces a million items need not read them.</summary>
    public ValueTask<ItemState?> FindForUpsertAsync(string id) =>
        _working.ContainsKey(id) || shard.Index.Find(id) is not { HasExternal: false } item
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

    /// <summary>Drops the representations of all bundles that are not named.</summary>
    public void Trim(string[] keep)
    {
        var trims = _trims ?? shard.Header.Trims;
        if (trims.Length == 0 || !trims[^1].Keep.ToHashSet(StringComparer.Ordinal).SetEquals(keep))
        {
            _trims = [.. trims, new(NextVersion(), keep)];
        }
    }

    /// <summary>Adds a batch of counts; false if it must come alone.</summary>
    public bool Count(CountBatch batch, IReadOnlyList<ItemCount> counts, IReadOnlyList<string> leftOut)
    {
        var decision = _ledger.Decide(batch);
        if (decision == CountDecision.Count)
        {
            _ledger.Note(batch, leftOut);
            Count(counts);
        }

        return decision != CountDecision.Refuse;
    }

    /// <summary>Adds one user's part of a batch; false if it was counted before.</summary>
    public bool CountAlone(UserOfBatch part, IReadOnlyList<ItemCount> counts)
    {
        if (_ledger.DecideAlone(part) != CountDecision.Count)
        {
            return false;
        }

        _ledger.NoteAlone(part);
        Count(counts);
        return true;
    }

    private void Count(IReadOnlyList<ItemCount> counts)
    {
        _noted = true;
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

    private ItemCounters CountersOf(string id) =>
        _counters.TryGetValue(id, out var counted) ? counted
        : _working.TryGetValue(id, out var state) ? state!.Record.Counters
        : shard.Index.Find(id)!.Counters;

    private ItemState WithCounters(ItemState state) =>
        _counters.TryGetValue(state.Record.Id, out var counted) ? state with { Record = state.Record with { Counters = counted } } : state;

    private bool Exists(string id) => _working.TryGetValue(id, out var state) ? state is not null : shard.Index.Find(id) is not null;

    private void Add(ItemEntry entry)
    {
        _entries.Add(entry);
        Bytes += entry.Size();
    }
}

/// <summary>A call that waits for its segment.</summary>
internal abstract class WaitingCall
{
    public abstract Task DecideAsync(WriteGroup group);

    public abstract void Answer();

    public abstract void Fail(StorageException failure);
}

/// <inheritdoc/>
internal sealed class WaitingCall<TResult>(Func<WriteGroup, Task<TResult>> decide) : WaitingCall
{
    private readonly TaskCompletionSource<TResult> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TResult _decided = default!;

    public Task<TResult> Result => _result.Task;

    public override async Task DecideAsync(WriteGroup group) => _decided = await decide(group);

    public override void Answer() => _result.TrySetResult(_decided);

    public override void Fail(StorageException failure) => _result.TrySetException(failure);
}
