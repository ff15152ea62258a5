using RecBackend.Core.Models;

namespace RecBackend.Core.Users;

/// <summary>Port: the truth about users. Writes return only when their effect is durable and visible to every read that starts after.</summary>
public interface IUserDirectory
{
    /// <summary>The user; one never heard of is an empty snapshot, never null.</summary>
    ValueTask<UserSnapshot> GetAsync(string user, CancellationToken cancellation);

    /// <summary>
    /// Stores events: raises the counters of their users and items, and extends histories. An event ID that the user has sent before (within at least the last 1,000 events and the last
    /// 24 hours) is a duplicate and changes nothing. An event of an unknown item is rejected with <c>item_unknown</c>. IDs and types were validated by the caller.
    /// </summary>
    ValueTask<EventReceipt> AppendAsync(IReadOnlyList<InteractionEvent> events, CancellationToken cancellation);

    /// <summary>Replaces the attributes of users.</summary>
    ValueTask SetAttributesAsync(IReadOnlyList<UserProfile> users, CancellationToken cancellation);

    /// <summary>Forgets everything about the user. Item counters stay: they name nobody.</summary>
    /// <returns>Whether anything was known.</returns>
    ValueTask<bool> EraseAsync(string user, CancellationToken cancellation);

    /// <summary>Keeps an encoding with its user for later rankings. Best effort: dropped if the user has moved on.</summary>
    void CacheEncoding(UserSnapshot user, UserEncoding encoding);
}

/// <summary>A user's attributes.</summary>
public sealed record UserProfile(string Id, IReadOnlyDictionary<string, string> Attributes);
