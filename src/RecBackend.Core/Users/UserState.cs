namespace RecBackend.Core.Users;

/// <summary>What an engine stores of a user, and restores a <see cref="UserState"/> from.</summary>
public sealed record UserRecord
{
    /// <summary>The user's ID.</summary>
    public required string Id { get; init; }

    /// <summary>See <see cref="UserSnapshot.Version"/>.</summary>
    public long Version { get; init; }

    /// <summary>Named categorical attributes.</summary>
    public IReadOnlyDictionary<string, string> Attributes { get; init; } = new Dictionary<string, string>();

    /// <summary>Number of <c>impression</c> events.</summary>
    public long Impressions { get; init; }

    /// <summary>Number of events of an action type.</summary>
    public long Clicks { get; init; }

    /// <summary>Events of an action type, newest first.</summary>
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
/// <param name="Record">The user after the changes, in full.</param>
/// <param name="Arrived">Event IDs to remember.</param>
/// <param name="Forgotten">Event IDs that left the window.</param>
public sealed record UserChanges(UserRecord Record, IReadOnlyList<ArrivedEvent> Arrived, IReadOnlyList<string> Forgotten);

/// <summary>
/// The state of one user, for engines: apply events, write <see cref="Changes"/>, then <see cref="Commit"/>, or <see cref="Rollback"/> if the write failed.
/// <see cref="Snapshot"/> shows only what is committed. Not thread-safe, but <see cref="Snapshot"/> may be read at any time.
/// </summary>
public sealed class UserState
{
    /// <summary>Event IDs that are remembered at least, whatever their age.</summary>
    public const int RememberedEvents = 1000;

    /// <summary>How long an event ID is remembered at least, however many there are.</summary>
    public static readonly TimeSpan RememberedTime = TimeSpan.FromHours(24);

    /// <summary>A user of whom nothing is known.</summary>
    public UserState(string id, TimeProvider clock) => throw new NotImplementedException();

    /// <summary>A user as it was stored.</summary>
    public UserState(UserRecord stored, TimeProvider clock) => throw new NotImplementedException();

    /// <summary>The user as last committed.</summary>
    public UserSnapshot Snapshot => throw new NotImplementedException();

    /// <summary>Whether anything was applied since the last commit or rollback.</summary>
    public bool HasChanges => throw new NotImplementedException();

    /// <summary>Applies an event, uncommitted.</summary>
    /// <param name="interaction">The event, validated.</param>
    public EventOutcome Apply(InteractionEvent interaction) => throw new NotImplementedException();

    /// <summary>Replaces the attributes, uncommitted.</summary>
    public void SetAttributes(IReadOnlyDictionary<string, string> attributes) => throw new NotImplementedException();

    /// <summary>What is to be written.</summary>
    public UserChanges Changes() => throw new NotImplementedException();

    /// <summary>Makes the changes visible; call it when they are durable.</summary>
    public void Commit() => throw new NotImplementedException();

    /// <summary>Forgets the changes; call it when they could not be written.</summary>
    public void Rollback() => throw new NotImplementedException();

    /// <summary>Keeps an encoding with the snapshot, unless the user has moved on.</summary>
    /// <param name="of">The snapshot that was encoded.</param>
    /// <param name="encoding">Its encoding.</param>
    public void CacheEncoding(UserSnapshot of, Models.UserEncoding encoding) => throw new NotImplementedException();
}
