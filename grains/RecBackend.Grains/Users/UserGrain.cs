using Microsoft.Extensions.Logging;
using RecBackend.Core.Storage;
using RecBackend.Core.Users;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Placement;
using RecBackend.Grains.Storage;

namespace RecBackend.Grains.Users;

/// <inheritdoc cref="IUserGrain"/>
[OnEntitySilos]
internal sealed class UserGrain(
    [PersistentState("user", GrainStorageName.Value)] IPersistentState<UserGrainState> stored, ItemCounter counter, EngineClock clock, ILogger<UserGrain> log)
    : Grain, IUserGrain
{
    private UserState _user = null!;
    private List<PendingCount> _pending = [];

    // Of activations before this one: whether they went with their batch only the items' shards know.
    private List<PendingCount> _inherited = [];
    private Task _recovery = Task.CompletedTask;

    /// <summary>How long an erasure waits for the items: well within the time of its call.</summary>
    private static readonly TimeSpan EraseLimit = TimeSpan.FromSeconds(4);

    /// <summary>How long a write may take. The counts of all users of a silo wait for those that are stored with them, and are refused when they have waited for half a minute.</summary>
    private static readonly TimeSpan WriteLimit = TimeSpan.FromSeconds(15);

    private string Id => EntityKey.Id(this.GetPrimaryKeyString());

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _user = stored.RecordExists ? new(stored.State.ToRecord(Id), clock.Time) : new(Id, clock.Time, Guid.NewGuid());
        _inherited = [.. stored.State.Pending];
        if (_inherited.Count > 0)
        {
            // An activation before this one may have ended before its counts were sent. They are sent again, to be counted once.
            _recovery = RecoverAsync([.. _inherited]);
        }

        return Task.CompletedTask;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) =>
        await _recovery.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);

    public Task<UserReading> ReadAsync() => Task.FromResult(UserReading.Of(_user.Snapshot));

    public Task<UserReading?> ReadIfOtherAsync(UserHolding held) => Task.FromResult(held.IsAllOf(_user.Snapshot) ? null : UserReading.Of(_user.Snapshot));

    public async Task<UserEventOutcome[]> AppendAsync(UserEvent[] events)
    {
        var outcomes = new UserEventOutcome[events.Length];
        var counts = new Dictionary<string, ItemCount>(StringComparer.Ordinal);
        for (var i = 0; i < events.Length; i++)
        {
            outcomes[i] = Apply(events[i], counts);
        }

        if (!_user.HasChanges)
        {
            return outcomes;
        }

        using var turn = Join([.. counts.Values]);
        _pending.RemoveAll(pending => counter.IsCounted(pending.Batch, pending.Count.Item));
        PendingCount[] own = [.. counts.Values.Select(count => new PendingCount(turn.Batch, count, turn.UserVersion))];
        try
        {
            var noted = turn.NoteAsync();
            await WriteAsync([.. _inherited, .. _pending, .. own]);
            await noted;
        }
        catch
        {
            turn.LeaveOut();
            throw;
        }

        _pending.AddRange(own);
        turn.Confirm();
        return outcomes;
    }

    public Task SetAttributesAsync(Dictionary<string, string> attributes)
    {
        _user.SetAttributes(attributes);
        return WriteAsync([.. _inherited, .. _pending]);
    }

    public async Task<bool> EraseAsync()
    {
        if (!_user.Snapshot.Known)
        {
            return false;
        }

        // What the user has done stays with the items, which name nobody: it must reach them before it is forgotten here.
        try
        {
            await CountedAsync([.. _inherited, .. _pending]).WaitAsync(EraseLimit);
        }
        catch (TimeoutException error)
        {
            throw new StorageException(StorageException.Unavailable, "What the user has done does not reach its items now. Nothing was erased; it is safe to send the call again.", error);
        }

        try
        {
            await stored.ClearStateAsync();
        }
        catch (Exception error)
        {
            throw Failed(error);
        }

        (_inherited, _pending) = ([], []);
        _user = new(Id, clock.Time, Guid.NewGuid());
        return true;
    }

    public Task SettleAsync() => _inherited.Count + _pending.Count < stored.State.Pending.Length ? WriteAsync([.. _inherited, .. _pending]) : Task.CompletedTask;

    public Task CacheEncodingAsync(Guid life, long version, EncodingMessage encoding)
    {
        var user = _user.Snapshot;
        if (user.Life == life && user.Version == version)
        {
            _user.CacheEncoding(user, encoding.ToEncoding());
        }

        return Task.CompletedTask;
    }

    private ItemCounter.Turn Join(ItemCount[] counts)
    {
        try
        {
            return counter.Join(this.GetPrimaryKeyString(), _user.Changes().After.Version, counts);
        }
        catch
        {
            // Else the caller's next try would find the events applied.
            _user.Rollback();
            throw;
        }
    }

    private UserEventOutcome Apply(in UserEvent one, Dictionary<string, ItemCount> counts)
    {
        if (_user.Remembers(one.EventId))
        {
            return UserEventOutcome.Duplicate;
        }

        if (!one.ItemKnown)
        {
            return UserEventOutcome.ItemUnknown;
        }

        _user.Apply(new(one.EventId, one.Type, Id, one.Item, one.Timestamp, one.RequestId));
        var isImpression = one.Type == InteractionEvent.Impression;
        var count = new ItemCount(one.Item, isImpression ? 1 : 0, isImpression ? 0 : 1, one.Timestamp);
        counts[one.Item] = counts.TryGetValue(one.Item, out var before) ? before.And(count) : count;
        return UserEventOutcome.Accepted;
    }

    private async Task WriteAsync(PendingCount[] pending)
    {
        _user.Changes();
        stored.State = UserGrainState.Of(_user.ToRecord(), _user.Snapshot.Life, pending);
        try
        {
            await stored.WriteStateAsync().WaitAsync(WriteLimit);
        }
        catch (Exception error)
        {
            _user.Rollback();
            throw Failed(error);
        }

        _user.Commit();
    }

    /// <summary>Whether the write was stored is not known: this activation ends, and the next one reads what is true.</summary>
    private StorageException Failed(Exception error)
    {
        log.LogWarning(error, "A user could not be stored");
        DeactivateOnIdle();
        return new(StorageException.Unavailable, $"A user could not be stored: {error.Message} The outcome is unknown; it is safe to send the call again.", error);
    }

    private async Task RecoverAsync(PendingCount[] pending)
    {
        var alone = await CountedAsync(pending);

        // What came with its batch, as nearly all does, is known to be counted for as long as it is remembered: a user who is only read need not be written.
        if (alone)
        {
            await this.AsReference<IUserGrain>().SettleAsync();
        }
    }

    /// <summary>Sees to it that counts are with their items, each write for itself: one may wait for a shard of which the others know nothing.</summary>
    /// <returns>Whether some of them came alone, and not with their batch.</returns>
    private async Task<bool> CountedAsync(PendingCount[] pending)
    {
        var alone = await Task.WhenAll(pending.GroupBy(one => (one.Batch, one.UserVersion)).Select(async write =>
        {
            var came = await counter.CountedAsync(write.Key.Batch, this.GetPrimaryKeyString(), write.Key.UserVersion, [.. write.Select(one => one.Count)]);
            _inherited.RemoveAll(one => (one.Batch, one.UserVersion) == write.Key);
            _pending.RemoveAll(one => (one.Batch, one.UserVersion) == write.Key);
            return came;
        }));
        return alone.Contains(true);
    }
}
