using MessagePack;
using RecBackend.Core.Users;
using RecBackend.Grains.Counting;

namespace RecBackend.Grains.Users;

/// <summary>What is stored of a user. Keys are never given anew: a state of an earlier version is read with defaults for what it lacks.</summary>
[MessagePackObject]
public sealed class UserGrainState
{
    /// <summary>See <see cref="UserSnapshot.Life"/>.</summary>
    [Key(0)]
    public Guid Life { get; set; }

    /// <summary>See <see cref="UserSnapshot.Version"/>.</summary>
    [Key(1)]
    public long Version { get; set; }

    /// <summary>Named categorical attributes.</summary>
    [Key(2)]
    public Dictionary<string, string> Attributes { get; set; } = [];

    /// <summary>Number of impressions.</summary>
    [Key(3)]
    public long Impressions { get; set; }

    /// <summary>Number of events of an action type.</summary>
    [Key(4)]
    public long Clicks { get; set; }

    /// <summary>Newest first.</summary>
    [Key(5)]
    public StoredHistoryEntry[] History { get; set; } = [];

    /// <summary>Accepted event IDs of the window, oldest first.</summary>
    [Key(6)]
    public StoredArrival[] Arrivals { get; set; } = [];

    /// <summary>Events that items may not have counted yet, each with the count that they travel in.</summary>
    [Key(7)]
    public PendingCount[] Pending { get; set; } = [];

    internal static UserGrainState Of(UserRecord record, Guid life, PendingCount[] pending) => new()
    {
        Life = life,
        Version = record.Version,
        Attributes = record.Attributes.ToDictionary(),
        Impressions = record.Impressions,
        Clicks = record.Clicks,
        History = [.. record.History.Select(entry => new StoredHistoryEntry(entry.Item, entry.Action, entry.Timestamp))],
        Arrivals = [.. record.Arrivals.Select(arrival => new StoredArrival(arrival.EventId, arrival.Arrived))],
        Pending = pending,
    };

    internal UserRecord ToRecord(string id) => new()
    {
        Id = id,
        Life = Life,
        Version = Version,
        Attributes = Attributes,
        Impressions = Impressions,
        Clicks = Clicks,
        History = [.. History.Select(entry => new HistoryEntry(entry.Item, entry.Action, entry.Timestamp))],
        Arrivals = [.. Arrivals.Select(arrival => new ArrivedEvent(arrival.EventId, arrival.Arrived))],
    };
}

/// <summary>An accepted event ID with the time of its arrival in Unix milliseconds.</summary>
[MessagePackObject]
public readonly record struct StoredArrival([property: Key(0)] string EventId, [property: Key(1)] long Arrived);
