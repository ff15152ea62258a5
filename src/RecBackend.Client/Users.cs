namespace RecBackend.Client;

/// <summary>A user's attributes, to store.</summary>
/// <param name="Id">The user's ID.</param>
/// <param name="Attributes">Named categorical attributes; they replace those that are stored.</param>
public sealed record UserProfile(string Id, IReadOnlyDictionary<string, string> Attributes);

/// <summary>What the server keeps of a user.</summary>
public sealed record UserState
{
    /// <summary>The user's ID.</summary>
    public string? Id { get; init; }

    /// <summary>How often the user was shown an item.</summary>
    public long Impressions { get; init; }

    /// <summary>How often the user clicked.</summary>
    public long Clicks { get; init; }
}
