using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Core.Tests;

/// <summary>An engine without a disk, made of the same states as the real ones.</summary>
internal sealed class InMemoryEngine(TimeProvider clock) : IItemDirectory, IItemChangeFeed, IUserDirectory
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, ItemState> _items = [];
    private readonly Dictionary<string, long> _versions = [];
    private readonly ConcurrentDictionary<string, UserState> _users = new();
    private readonly List<ItemChangeObserver> _observers = [];

    /// <summary>Called by <see cref="ReadAllAsync"/> before each item: where tests change things meanwhile.</summary>
    public Func<ItemRecord, Task>? BeforeRead { get; set; }

    /// <summary>What setting representations fails with.</summary>
    public Exception? RefusesRepresentations { get; set; }

    /// <summary>What reading a user waits for.</summary>
    public Task UserGate { get; set; } = Task.CompletedTask;

    /// <summary>Called before representations are trimmed.</summary>
    public Func<Task>? BeforeTrim { get; set; }

    public IReadOnlyCollection<string>? Kept { get; private set; }

    public ValueTask<ItemRecord?> GetAsync(string id, CancellationToken cancellation)
    {
        lock (_lock)
        {
            return new(_items.GetValueOrDefault(id)?.Record);
        }
    }

    public ValueTask<IReadOnlyList<long>> UpsertAsync(IReadOnlyList<ItemUpsert> items, CancellationToken cancellation)
    {
        lock (_lock)
        {
            return new([.. items.Select(item => Write(item.Id, version => ItemState.Upsert(_items.GetValueOrDefault(item.Id), item, version), ItemChangeKind.Written))]);
        }
    }

    public ValueTask<IReadOnlyList<bool>> SetRepresentationsAsync(IReadOnlyList<RepresentationUpdate> updates, CancellationToken cancellation)
    {
        if (RefusesRepresentations is { } refusal)
        {
            throw refusal;
        }

        lock (_lock)
        {
            return new([.. updates.Select(Set)]);
        }

        bool Set(RepresentationUpdate update)
        {
            if (_items.GetValueOrDefault(update.Id) is not { } before || before.WithRepresentation(update, 0) is not { } after)
            {
                return false;
            }

            if (after == before)
            {
                return true;
            }

            Write(update.Id, version => _items[update.Id].WithRepresentation(update, version)!, ItemChangeKind.Written);
            return true;
        }
    }

    public ValueTask<IReadOnlyList<bool>> DeleteAsync(IReadOnlyList<string> ids, CancellationToken cancellation)
    {
        lock (_lock)
        {
            return new([.. ids.Select(Delete)]);
        }

        bool Delete(string id)
        {
            if (!_items.Remove(id))
            {
                return false;
            }

            Tell(new(id, ++_versions[id], ItemChangeKind.Deleted, null, ItemCounters.None));
            return true;
        }
    }

    public async ValueTask TrimRepresentationsAsync(IReadOnlyCollection<string> keep, CancellationToken cancellation)
    {
        await (BeforeTrim?.Invoke() ?? Task.CompletedTask);
        cancellation.ThrowIfCancellationRequested();
        lock (_lock)
        {
            Kept = keep;
            foreach (var (id, state) in _items)
            {
                _items[id] = state.Trim(keep);
            }
        }
    }

    public ValueTask<long> CountAsync(CancellationToken cancellation)
    {
        lock (_lock)
        {
            return new(_items.Count);
        }
    }

    public async IAsyncEnumerable<ItemRecord> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        List<ItemRecord> records;
        lock (_lock)
        {
            records = [.. _items.Values.Select(state => state.Record)];
        }

        foreach (var record in records)
        {
            cancellation.ThrowIfCancellationRequested();
            await (BeforeRead?.Invoke(record) ?? Task.CompletedTask);
            yield return record;
        }
    }

    public IDisposable Subscribe(ItemChangeObserver observer)
    {
        lock (_lock)
        {
            _observers.Add(observer);
        }

        return new Subscription(() =>
        {
            lock (_lock)
            {
                _observers.Remove(observer);
            }
        });
    }

    ValueTask<UserSnapshot> IUserDirectory.GetAsync(string user, CancellationToken cancellation)
    {
        return UserGate.IsCompletedSuccessfully ? new(Read()) : ReadLaterAsync();

        UserSnapshot Read() => _users.TryGetValue(user, out var state) ? state.Snapshot : new UserSnapshot { Id = user };

        async ValueTask<UserSnapshot> ReadLaterAsync()
        {
            await UserGate;
            return Read();
        }
    }

    public ValueTask<EventReceipt> AppendAsync(IReadOnlyList<InteractionEvent> events, CancellationToken cancellation)
    {
        var accepted = 0;
        var rejected = new List<RejectedEntry>();
        lock (_lock)
        {
            foreach (var (index, one) in events.Index())
            {
                if (!_items.TryGetValue(one.Item, out var item))
                {
                    rejected.Add(new(index, "item_unknown"));
                    continue;
                }

                var user = _users.GetOrAdd(one.User, id => new UserState(id, clock));
                if (user.Apply(one) == EventOutcome.Accepted)
                {
                    user.Changes();
                    user.Commit();
                    Write(one.Item, version => item.WithEvent(one.Type, one.Timestamp, version), ItemChangeKind.Counted);
                    accepted++;
                }
            }
        }

        return new(new EventReceipt(accepted, events.Count - accepted - rejected.Count, rejected));
    }

    public ValueTask SetAttributesAsync(IReadOnlyList<UserProfile> users, CancellationToken cancellation)
    {
        foreach (var profile in users)
        {
            var user = _users.GetOrAdd(profile.Id, id => new UserState(id, clock));
            user.SetAttributes(profile.Attributes);
            user.Commit();
        }

        return ValueTask.CompletedTask;
    }

    public ValueTask<bool> EraseAsync(string user, CancellationToken cancellation) => new(_users.TryRemove(user, out _));

    public void CacheEncoding(UserSnapshot user, UserEncoding encoding)
    {
        if (_users.TryGetValue(user.Id, out var state))
        {
            state.CacheEncoding(user, encoding);
        }
    }

    private long Write(string id, Func<long, ItemState> change, ItemChangeKind kind)
    {
        var version = _versions[id] = _versions.GetValueOrDefault(id) + 1;
        var state = _items[id] = change(version);
        Tell(new(id, version, kind, kind == ItemChangeKind.Written ? state.Record : null, state.Record.Counters));
        return version;
    }

    private void Tell(ItemChange change) => _observers.ForEach(observer => observer([change]));

    private sealed class Subscription(Action end) : IDisposable
    {
        public void Dispose() => end();
    }
}
