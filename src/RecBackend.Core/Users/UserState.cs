using System.Collections.Immutable;
using RecBackend.Core.Models;

namespace RecBackend.Core.Users;

/// <summary>What an engine stores of a user, and restores a <see cref="UserState"/> from.</summary>
public sealed record UserRecord
{
    /// <summary>The user's ID.</summary>
    public required string Id { get; init; }

    /// <summary>See <see cref="UserSnapshot.Version"/>.</summary>
    public long Version { get; init; }

    /// <summary>See <see cref="UserSnapshot.Life"/>.</summary>
    public Guid Life { get; init; }

    /// <summary>Named categorical attributes.</summary>
    public IReadOnlyDictionary<string, string> Attributes { get; init; } = ImmutableDictionary<string, string>.Empty;

    /// <summary>Number of <c>impression</c> events.</summary>
    public long Impressions { get; init; }

    /// <summary>Number of events of an action type.</summary>
    public long Clicks { get; init; }

    /// <summary>Events of an action type, newest first: by time, then by arrival.</summary>
    public IReadOnlyList<HistoryEntry> History { get; init; } = [];

    /// <summary>IDs of the last events with the time of their arrival, oldest first.</summary>
    public IReadOnlyList<ArrivedEvent> Arrivals { get; init; } = [];
}

/// <summary>An event ID that was accepted.</summary>
/// <param name="EventId">The ID.</param>
/// <param name="Arrived">When it was accepted, Unix milliseconds.</param>
public readonly record struct ArrivedEvent(string EventId, long Arrived);

/// <summary>What became of an event.</summary>
public enum EventOutcome
{
    /// <summary>It is new and was applied.</summary>
    Accepted,

    /// <summary>It was applied before; nothing changed.</summary>
    Duplicate,
}

/// <summary>What a user's uncommitted events changed; an engine writes it, then commits.</summary>
/// <param name="After">The user after the changes.</param>
/// <param name="Arrived">Event IDs to remember.</param>
/// <param name="Forgotten">Event IDs that leave the window.</param>
public sealed record UserChanges(UserSnapshot After, IReadOnlyList<ArrivedEvent> Arrived, IReadOnlyList<string> Forgotten);

/// <summary>
/// The state of one user, for engines: apply events, write <see cref="Changes"/>, then <see cref="Commit"/>, or <see cref="Rollback"/> if the write failed.
/// <see cref="Snapshot"/> shows only what is committed, and may be read at any time; all else is for one caller at a time.
/// </summary>
public sealed class UserState
{
    /// <summary>Event IDs that are remembered at least, whatever their age.</summary>
    public const int RememberedEvents = 1000;

    /// <summary>How long an event ID is remembered at least, however many there are.</summary>
    public static readonly TimeSpan RememberedTime = TimeSpan.FromHours(24);

    private readonly TimeProvider _clock;
    private readonly HashSet<string> _remembered = new(StringComparer.Ordinal);
    private readonly Queue<ArrivedEvent> _arrivals = new();
    private readonly List<ArrivedEvent> _arrivedSinceCommit = [];
    private UserSnapshot _committed;
    private UserSnapshot _working;
    private int _leavingAtCommit;

    /// <summary>A user of whom nothing is known.</summary>
    /// <param name="id">The user's ID.</param>
    /// <param name="clock">The time; event IDs are remembered by it.</param>
    /// <param name="life">See <see cref="UserSnapshot.Life"/>.</param>
    public UserState(string id, TimeProvider clock, Guid life = default)
    {
        _clock = clock;
        _committed = _working = new UserSnapshot { Id = id, Life = life };
    }

    /// <summary>A user as it was stored.</summary>
    public UserState(UserRecord stored, TimeProvider clock)
    {
        _clock = clock;
        _committed = _working = new UserSnapshot
        {
            Id = stored.Id,
            Known = true,
            Version = stored.Version,
            Life = stored.Life,
            Attributes = stored.Attributes,
            Impressions = stored.Impressions,
            Clicks = stored.Clicks,
            History = [.. stored.History],
        };
        foreach (var arrival in stored.Arrivals)
        {
            _remembered.Add(arrival.EventId);
            _arrivals.Enqueue(arrival);
        }
    }

    /// <summary>The user as last committed.</summary>
    public UserSnapshot Snapshot => Volatile.Read(ref _committed);

    /// <summary>Whether anything was applied since the last commit or rollback.</summary>
    public bool HasChanges => _working.Version != _committed.Version;

    /// <summary>Whether the user has sent the event before.</summary>
    public bool Remembers(string eventId) => _remembered.Contains(eventId);

    /// <summary>Applies an event, uncommitted.</summary>
    /// <param name="interaction">The event, validated: whatever is not an impression counts as an action.</param>
    public EventOutcome Apply(InteractionEvent interaction)
    {
        if (!_remembered.Add(interaction.EventId))
        {
            return EventOutcome.Duplicate;
        }

        _arrivedSinceCommit.Add(new(interaction.EventId, _clock.GetUtcNow().ToUnixTimeMilliseconds()));
        _working = _working.After(interaction);
        return EventOutcome.Accepted;
    }

    /// <summary>Replaces the attributes, uncommitted.</summary>
    public void SetAttributes(IReadOnlyDictionary<string, string> attributes) => _working = _working.WithAttributes(attributes);

    /// <summary>What is to be written. What it calls forgotten, the next <see cref="Commit"/> forgets.</summary>
    public UserChanges Changes()
    {
        var old = (_clock.GetUtcNow() - RememberedTime).ToUnixTimeMilliseconds();
        var surplus = _arrivals.Count + _arrivedSinceCommit.Count - RememberedEvents;
        var forgotten = surplus <= 0 ? [] : _arrivals.Take(surplus).TakeWhile(arrival => arrival.Arrived < old).Select(arrival => arrival.EventId).ToArray();
        _leavingAtCommit = forgotten.Length;
        return new(_working, [.. _arrivedSinceCommit], forgotten);
    }

    /// <summary>The user with uncommitted changes in the form that is stored as a whole.</summary>
    public UserRecord ToRecord() => new()
    {
        Id = _working.Id,
        Version = _working.Version,
        Life = _working.Life,
        Attributes = _working.Attributes,
        Impressions = _working.Impressions,
        Clicks = _working.Clicks,
        History = _working.History,
        Arrivals = [.. _arrivals, .. _arrivedSinceCommit],
    };

    /// <summary>Makes the changes visible; call it when they are durable.</summary>
    public void Commit()
    {
        for (; _leavingAtCommit > 0; _leavingAtCommit--)
        {
            _remembered.Remove(_arrivals.Dequeue().EventId);
        }

        foreach (var arrival in _arrivedSinceCommit)
        {
            _arrivals.Enqueue(arrival);
        }

        _arrivedSinceCommit.Clear();
        Volatile.Write(ref _committed, _working);
    }

    /// <summary>Forgets the changes; call it when they could not be written.</summary>
    public void Rollback()
    {
        foreach (var arrival in _arrivedSinceCommit)
        {
            _remembered.Remove(arrival.EventId);
        }

        _arrivedSinceCommit.Clear();
        _leavingAtCommit = 0;
        _working = _committed;
    }

    /// <summary>Keeps an encoding with the snapshot, unless the user has moved on. Safe at any time.</summary>
    /// <param name="of">The snapshot that was encoded.</param>
    /// <param name="encoding">Its encoding.</param>
    public void CacheEncoding(UserSnapshot of, UserEncoding encoding)
    {
        var current = Snapshot;
        while (current.IsSameMomentAs(of))
        {
            var seen = Interlocked.CompareExchange(ref _committed, current with { Encoding = encoding }, current);
            if (ReferenceEquals(seen, current))
            {
                return;
            }

            current = seen;
        }
    }
}
