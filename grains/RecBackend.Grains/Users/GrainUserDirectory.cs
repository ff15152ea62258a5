using RecBackend.Core.Models;
using RecBackend.Core.Users;
using RecBackend.Grains.Calls;
using RecBackend.Grains.Items;
using RecBackend.Grains.Storage;

namespace RecBackend.Grains.Users;

/// <summary>The users of the cluster: one grain each.</summary>
internal sealed class GrainUserDirectory(IGrainFactory grains, ItemShards shards, UserCopies copies) : IUserDirectory, IDisposable
{
    /// <summary>Of all batches of a silo together: as many as a storage takes in a fraction of the time that a call waits for its answer. What waits for its turn waits before its call, not in it.</summary>
    private const int WritesAtOnce = 64;

    private readonly SemaphoreSlim _turns = new(WritesAtOnce);

    public async ValueTask<UserSnapshot> GetAsync(string user, CancellationToken cancellation)
    {
        var grain = Grain(user);
        if (copies.Find(user) is { } copy)
        {
            var other = await GrainCall.TryAgainAsync(() => grain.ReadIfOtherAsync(UserHolding.Of(copy)), cancellation);
            return other is null ? copy : Kept(other);
        }

        return Kept(await GrainCall.TryAgainAsync(grain.ReadAsync, cancellation));

        UserSnapshot Kept(UserReading reading)
        {
            var snapshot = reading.ToSnapshot(user);
            copies.Keep(snapshot);
            return snapshot;
        }
    }

    public async ValueTask<EventReceipt> AppendAsync(IReadOnlyList<InteractionEvent> events, CancellationToken cancellation)
    {
        string[] items = [.. events.Select(one => one.Item).Distinct(StringComparer.Ordinal)];
        var exist = await GrainCall.TryAgainAsync(() => shards.SpreadAsync(items, id => id, (shard, ids) => shard.ExistAsync(ids)), cancellation);
        var known = items.Zip(exist).Where(item => item.Second).Select(item => item.First).ToHashSet(StringComparer.Ordinal);

        var outcomes = new UserEventOutcome[events.Count];
        var users = Enumerable.Range(0, events.Count).GroupBy(place => events[place].User, StringComparer.Ordinal);
        await Parallel.ForEachAsync(users, new ParallelOptions { MaxDegreeOfParallelism = WritesAtOnce, CancellationToken = cancellation }, async (places, stopped) =>
        {
            UserEvent[] own = [.. places.Select(place => Message(events[place]))];
            var grain = Grain(places.Key);
            foreach (var (outcome, place) in (await InTurnAsync(() => grain.AppendAsync(own), wait: events.Count > 1, stopped)).Zip(places))
            {
                outcomes[place] = outcome;
            }
        });

        return new(
            outcomes.Count(outcome => outcome == UserEventOutcome.Accepted),
            outcomes.Count(outcome => outcome == UserEventOutcome.Duplicate),
            [.. outcomes.Index().Where(one => one.Item == UserEventOutcome.ItemUnknown).Select(one => Unknown(one.Index))]);

        UserEvent Message(InteractionEvent one) => new(one.EventId, one.Type, one.Item, one.Timestamp, one.RequestId, known.Contains(one.Item));
        RejectedEntry Unknown(int place) => new(place, "item_unknown", $"There is no item '{events[place].Item}'.");
    }

    public async ValueTask SetAttributesAsync(IReadOnlyList<UserProfile> users, CancellationToken cancellation)
    {
        // Of a user who is named twice the later profile stays, so one write is enough.
        var last = users.GroupBy(user => user.Id, StringComparer.Ordinal).Select(same => same.Last());
        await Task.WhenAll(last.Select(user =>
        {
            var grain = Grain(user.Id);
            return GrainCall.TryAgainAsync(() => grain.SetAttributesAsync(user.Attributes.ToDictionary()), cancellation);
        }));
    }

    public async ValueTask<bool> EraseAsync(string user, CancellationToken cancellation)
    {
        var grain = Grain(user);
        var (erased, again) = await GrainCall.TryAgainOrSayAsync(grain.EraseAsync, cancellation);
        copies.Drop(user);

        // A try whose answer was lost may be what erased them.
        return erased || again;
    }

    public void CacheEncoding(UserSnapshot user, UserEncoding encoding)
    {
        copies.Keep(user with { Encoding = encoding });
        _ = Grain(user.Id).CacheEncodingAsync(user.Life, user.Version, EncodingMessage.Of(encoding));
    }

    public void Dispose() => _turns.Dispose();

    private async Task<TResult> InTurnAsync<TResult>(Func<Task<TResult>> call, bool wait, CancellationToken cancellation)
    {
        if (!wait)
        {
            return await GrainCall.TryAgainAsync(call, cancellation);
        }

        await _turns.WaitAsync(cancellation);
        try
        {
            return await GrainCall.TryAgainAsync(call, cancellation);
        }
        finally
        {
            _turns.Release();
        }
    }

    private IUserGrain Grain(string user) => grains.GetGrain<IUserGrain>(EntityKey.Of(user));
}
