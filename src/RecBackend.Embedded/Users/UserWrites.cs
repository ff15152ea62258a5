using RecBackend.Core.Users;
using RecBackend.Embedded.Storage;

namespace RecBackend.Embedded.Users;

/// <summary>
/// The writes to users, on the commit thread. Each transaction works on states of its own; <see cref="UserActor"/>s see them after the commit, or never:
/// a rollback has nothing to repair.
/// </summary>
internal sealed class UserWrites
{
    /// <summary>History rows beyond those that are read are dropped with every so many clicks.</summary>
    private const int HistoryStroke = 64;

    private readonly UserCache _cache;
    private readonly TimeProvider _clock;
    private readonly UserRows _rows;
    private readonly Statement _insert;
    private readonly Statement _update;
    private readonly Statement _delete;
    private readonly Statement _insertHistory;
    private readonly Statement _trimHistory;
    private readonly Statement _deleteHistory;
    private readonly Statement _findArrival;
    private readonly Statement _insertArrival;
    private readonly Statement _countArrivals;
    private readonly Statement _trimArrivals;
    private readonly Statement _deleteArrivals;
    private readonly Dictionary<string, Working> _touched = new(StringComparer.Ordinal);

    public UserWrites(Database database, UserCache cache, TimeProvider clock)
    {
        _cache = cache;
        _clock = clock;
        _rows = new UserRows(database);
        _insert = database.Prepare(Sql.Users.Insert);
        _update = database.Prepare(Sql.Users.Update);
        _delete = database.Prepare(Sql.Users.Delete);
        _insertHistory = database.Prepare(Sql.Users.InsertHistory);
        _trimHistory = database.Prepare(Sql.Users.TrimHistory);
        _deleteHistory = database.Prepare(Sql.Users.DeleteHistory);
        _findArrival = database.Prepare(Sql.Users.FindArrival);
        _insertArrival = database.Prepare(Sql.Users.InsertArrival);
        _countArrivals = database.Prepare(Sql.Users.CountArrivals);
        _trimArrivals = database.Prepare(Sql.Users.TrimArrivals);
        _deleteArrivals = database.Prepare(Sql.Users.DeleteArrivals);
    }

    /// <summary>Whether the user has sent the event before.</summary>
    public bool Knows(InteractionEvent interaction)
    {
        var user = Touch(interaction.User);
        if (user.Key == StoredUser.NoRow)
        {
            return false;
        }

        var known = _findArrival.Bind(1, user.Key).Bind(2, interaction.EventId).Step();
        _findArrival.Reset();
        return known;
    }

    /// <summary>Applies an event; false if the user has sent it before.</summary>
    public bool Append(InteractionEvent interaction)
    {
        var user = Touch(interaction.User);
        EnsureRow(user);
        var number = user.Snapshot.Impressions + user.Snapshot.Clicks + 1;
        var now = _clock.GetUtcNow();
        if (_insertArrival.Bind(1, user.Key).Bind(2, interaction.EventId).Bind(3, number).Bind(4, now.ToUnixTimeMilliseconds()).Run() == 0)
        {
            return false;
        }

        user.Change(user.Snapshot.After(interaction));
        if (interaction.Type != InteractionEvent.Impression)
        {
            _insertHistory.Bind(1, user.Key).Bind(2, interaction.Timestamp).Bind(3, number).Bind(4, interaction.Item).Bind(5, interaction.Type).Run();
            if (user.Snapshot.Clicks > UserSnapshot.MaxHistory && user.Snapshot.Clicks % HistoryStroke == 0)
            {
                _trimHistory.Bind(1, user.Key).Bind(2, UserSnapshot.MaxHistory).Run();
            }
        }

        if (number >= user.TrimAt)
        {
            var old = (now - UserState.RememberedTime).ToUnixTimeMilliseconds();
            _trimArrivals.Bind(1, user.Key).Bind(2, number - UserState.RememberedEvents).Bind(3, old).Run();
            user.TrimAt = ArrivalWindow.TrimAfter(number, _countArrivals.Bind(1, user.Key).Scalar());
        }

        return true;
    }

    public void SetAttributes(UserProfile profile)
    {
        var user = Touch(profile.Id);
        EnsureRow(user);
        user.Change(user.Snapshot.WithAttributes(profile.Attributes));
    }

    /// <summary>Deletes every row of the user; false if there were none.</summary>
    public bool Erase(string id)
    {
        var user = Touch(id);
        if (user.Key == StoredUser.NoRow)
        {
            return false;
        }

        _deleteArrivals.Bind(1, user.Key).Run();
        _deleteHistory.Bind(1, user.Key).Run();
        _delete.Bind(1, user.Key).Run();
        user.Forget(id);
        return true;
    }

    /// <summary>Writes what the transaction has changed of each user, once, before the commit.</summary>
    public void Flush()
    {
        foreach (var user in _touched.Values)
        {
            if (user.Changed && user.Key != StoredUser.NoRow)
            {
                var snapshot = user.Snapshot;
                _update
                    .Bind(1, user.Key)
                    .Bind(2, snapshot.Version)
                    .Bind(3, snapshot.Impressions)
                    .Bind(4, snapshot.Clicks)
                    .Bind(5, AttributesJson.Write(snapshot.Attributes))
                    .Run();
            }
        }
    }

    /// <summary>After the commit.</summary>
    public void Publish()
    {
        foreach (var (id, user) in _touched)
        {
            if (user.Changed)
            {
                _cache.Publish(id, user.Actor, user.ToStored());
            }
        }

        _touched.Clear();
    }

    public void Rollback() => _touched.Clear();

    private Working Touch(string id)
    {
        if (!_touched.TryGetValue(id, out var user))
        {
            var actor = _cache.GetOrAdd(id);

            // This transaction has not changed the user yet, so what it reads is what was committed last.
            var stored = actor.Stored ?? actor.Fill(_rows.Read(id));
            _touched.Add(id, user = new Working(actor, stored));
        }

        return user;
    }

    private void EnsureRow(Working user)
    {
        if (user.Key == StoredUser.NoRow)
        {
            user.Key = _insert.Bind(1, user.Snapshot.Id).Scalar();
        }
    }

    /// <summary>A user inside the transaction.</summary>
    private sealed class Working(UserActor actor, StoredUser stored)
    {
        public UserActor Actor { get; } = actor;

        public long Key { get; set; } = stored.Key;

        public long TrimAt { get; set; } = stored.TrimAt;

        public UserSnapshot Snapshot { get; private set; } = stored.Snapshot;

        public bool Changed { get; private set; }

        public void Change(UserSnapshot to)
        {
            Snapshot = to;
            Changed = true;
        }

        public void Forget(string id)
        {
            var unknown = StoredUser.Unknown(id);
            (Key, TrimAt) = (unknown.Key, unknown.TrimAt);
            Change(unknown.Snapshot);
        }

        public StoredUser ToStored() => new(Key, TrimAt, Snapshot);
    }
}
