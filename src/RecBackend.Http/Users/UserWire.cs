using RecBackend.Core.Users;

namespace RecBackend.Http.Users;

/// <summary>A user's attributes.</summary>
public sealed record UserBody
{
    /// <summary>The user's ID; of <c>PUT</c> it may be left out, else it is that of the path.</summary>
    public string? Id { get; init; }

    /// <summary>Named categorical attributes; they replace those that are stored.</summary>
    public required IReadOnlyDictionary<string, string?> Attributes { get; init; }
}

/// <summary>What the host keeps of a user.</summary>
public sealed record UserReply
{
    /// <summary>The user's ID.</summary>
    public required string Id { get; init; }

    /// <summary>Raised by everything that the model reads of the user.</summary>
    public required long Version { get; init; }

    /// <summary>Attributes.</summary>
    public required IReadOnlyDictionary<string, string> Attributes { get; init; }

    /// <summary>How often the user was shown an item.</summary>
    public required long Impressions { get; init; }

    /// <summary>How often the user clicked.</summary>
    public required long Clicks { get; init; }

    /// <summary>The last events of an action type, newest first.</summary>
    public required IReadOnlyList<HistoryReply> History { get; init; }

    internal static UserReply Of(UserSnapshot user) => new()
    {
        Id = user.Id,
        Version = user.Version,
        Attributes = user.Attributes,
        Impressions = user.Impressions,
        Clicks = user.Clicks,
        History = [.. user.History.Select(entry => new HistoryReply(entry.Item, entry.Action, entry.Timestamp / 1000.0))],
    };
}

/// <summary>An event of a history.</summary>
/// <param name="Item">The item.</param>
/// <param name="Type">The event's type.</param>
/// <param name="Timestamp">When, Unix seconds.</param>
public sealed record HistoryReply(string Item, string Type, double Timestamp);
