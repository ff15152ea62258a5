using System.Collections.Immutable;
using RecBackend.Core.Models;

namespace RecBackend.Core.Users;

/// <summary>A user at one moment. Immutable: a ranking reads it once and works on it to the end.</summary>
public sealed record UserSnapshot
{
    /// <summary>How many history entries a user keeps at most; no bundle may read more.</summary>
    public const int MaxHistory = 200;

    /// <summary>The user's ID.</summary>
    public required string Id { get; init; }

    /// <summary>Whether anything is stored of the user.</summary>
    public bool Known { get; init; }

    /// <summary>Raised by everything that the user encoder reads: events and attributes. 0 for an unknown user.</summary>
    public long Version { get; init; }

    /// <summary>Tells a user who was erased and came back from the one before, whose versions were the same; empty where the engine has no need of it.</summary>
    public Guid Life { get; init; }

    /// <summary>Named categorical attributes.</summary>
    public IReadOnlyDictionary<string, string> Attributes { get; init; } = ImmutableDictionary<string, string>.Empty;

    /// <summary>Number of <c>impression</c> events.</summary>
    public long Impressions { get; init; }

    /// <summary>Number of events of an action type.</summary>
    public long Clicks { get; init; }

    /// <summary>The last <see cref="MaxHistory"/> events of an action type, newest first (by time, then by arrival).</summary>
    public ImmutableArray<HistoryEntry> History { get; init; } = [];

    /// <summary>The encoding that was last cached for this user, of whatever bundle and version; see <see cref="UserEncoding.IsFor"/>.</summary>
    public UserEncoding? Encoding { get; init; }

    /// <summary>The user after an event that was not applied before: whatever is not an impression counts as an action. Without an encoding.</summary>
    public UserSnapshot After(InteractionEvent interaction) =>
        interaction.Type == InteractionEvent.Impression
            ? this with { Known = true, Version = Version + 1, Encoding = null, Impressions = Impressions + 1 }
            : this with
            {
                Known = true,
                Version = Version + 1,
                Encoding = null,
                Clicks = Clicks + 1,
                History = Extend(History, new(interaction.Item, interaction.Type, interaction.Timestamp)),
            };

    /// <summary>The user with other attributes. Without an encoding.</summary>
    public UserSnapshot WithAttributes(IReadOnlyDictionary<string, string> attributes) =>
        this with { Known = true, Version = Version + 1, Encoding = null, Attributes = attributes.ToImmutableDictionary(StringComparer.Ordinal) };

    /// <summary>Whether both are the same user at the same moment, with whatever encoding. The version alone would not tell a user who was erased and came back from the one before.</summary>
    public bool IsSameMomentAs(UserSnapshot other) =>
        Version == other.Version
        && Life == other.Life
        && (Life != Guid.Empty || (History == other.History && ReferenceEquals(Attributes, other.Attributes)));

    private static ImmutableArray<HistoryEntry> Extend(ImmutableArray<HistoryEntry> history, HistoryEntry entry)
    {
        var place = 0;
        while (place < history.Length && history[place].Timestamp > entry.Timestamp)
        {
            place++;
        }

        if (place == MaxHistory)
        {
            return history;
        }

        var kept = history.Length == MaxHistory ? history.RemoveAt(MaxHistory - 1) : history;
        return kept.Insert(place, entry);
    }
}

/// <summary>One event of a history.</summary>
/// <param name="Item">The item.</param>
/// <param name="Action">The event's type.</param>
/// <param name="Timestamp">When, Unix milliseconds.</param>
public readonly record struct HistoryEntry(string Item, string Action, long Timestamp);
