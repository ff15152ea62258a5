using System.Runtime.InteropServices;
using MessagePack;
using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Grains.Users;

/// <summary>An event on its way to its user. All of one call are of one user, so the user is left out.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.UserEvent")]
public readonly record struct UserEvent(
    [property: Id(0)] string EventId,
    [property: Id(1)] string Type,
    [property: Id(2)] string Item,
    [property: Id(3)] long Timestamp,
    [property: Id(4)] string? RequestId,
    [property: Id(5)] bool ItemKnown);

/// <summary>What became of one event.</summary>
public enum UserEventOutcome : byte
{
    /// <summary>It is new and durable.</summary>
    Accepted,

    /// <summary>It was stored before.</summary>
    Duplicate,

    /// <summary>Its item is unknown, and the user has not sent it before.</summary>
    ItemUnknown,
}

/// <summary>One event of a history, as it is sent and stored.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.UserHistoryEntry"), MessagePackObject]
public readonly record struct StoredHistoryEntry(
    [property: Id(0), Key(0)] string Item,
    [property: Id(1), Key(1)] string Action,
    [property: Id(2), Key(2)] long Timestamp);

/// <summary>Which user, at which moment, with which encoding a scoring silo has.</summary>
/// <param name="Life">See <see cref="UserSnapshot.Life"/>.</param>
/// <param name="Version">See <see cref="UserSnapshot.Version"/>.</param>
/// <param name="Encoding">Which encoding, if it has one.</param>
[GenerateSerializer, Immutable, Alias("RecBackend.UserHolding")]
public readonly record struct UserHolding([property: Id(0)] Guid Life, [property: Id(1)] long Version, [property: Id(2)] EncodingName? Encoding)
{
    internal static UserHolding Of(UserSnapshot user) => new(user.Life, user.Version, EncodingName.Of(user.Encoding));

    /// <summary>Whether <paramref name="user"/> has nothing that this is without.</summary>
    internal bool IsAllOf(UserSnapshot user) => Life == user.Life && Version == user.Version && (user.Encoding is null || EncodingName.Of(user.Encoding) == Encoding);
}

/// <summary>What tells encodings of a user apart.</summary>
/// <param name="Bundle">Version of the bundle that computed it.</param>
/// <param name="UserVersion">The user's version that it was computed from.</param>
/// <param name="HistoryRows">Which rows of the history's items; see <see cref="UserEncoding.HistoryRows"/>.</param>
[GenerateSerializer, Immutable, Alias("RecBackend.EncodingName")]
public readonly record struct EncodingName([property: Id(0)] string Bundle, [property: Id(1)] long UserVersion, [property: Id(2)] ulong HistoryRows)
{
    internal static EncodingName? Of(UserEncoding? encoding) => encoding is null ? null : new EncodingName(encoding.Bundle, encoding.UserVersion, encoding.HistoryRows);
}

/// <summary>A user as a scoring silo reads it, with the encoding that was last cached.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.UserReading")]
public sealed class UserReading
{
    /// <summary>False if nothing is stored of the user.</summary>
    [Id(0)]
    public bool Known { get; init; }

    /// <summary>See <see cref="UserSnapshot.Version"/>.</summary>
    [Id(1)]
    public long Version { get; init; }

    /// <summary>See <see cref="UserSnapshot.Life"/>.</summary>
    [Id(2)]
    public Guid Life { get; init; }

    /// <summary>Named categorical attributes.</summary>
    [Id(3)]
    public required Dictionary<string, string> Attributes { get; init; }

    /// <summary>Number of impressions.</summary>
    [Id(4)]
    public long Impressions { get; init; }

    /// <summary>Number of events of an action type.</summary>
    [Id(5)]
    public long Clicks { get; init; }

    /// <summary>Newest first.</summary>
    [Id(6)]
    public required StoredHistoryEntry[] History { get; init; }

    /// <summary>The encoding that was last cached, or null.</summary>
    [Id(7)]
    public EncodingMessage? Encoding { get; init; }

    internal static UserReading Of(UserSnapshot user) => new()
    {
        Known = user.Known,
        Version = user.Version,
        Life = user.Life,
        Attributes = user.Attributes.ToDictionary(),
        Impressions = user.Impressions,
        Clicks = user.Clicks,
        History = [.. user.History.Select(entry => new StoredHistoryEntry(entry.Item, entry.Action, entry.Timestamp))],
        Encoding = user.Encoding is { } encoding ? EncodingMessage.Of(encoding) : null,
    };

    internal UserSnapshot ToSnapshot(string id)
    {
        var history = new HistoryEntry[History.Length];
        for (var i = 0; i < history.Length; i++)
        {
            history[i] = new(History[i].Item, History[i].Action, History[i].Timestamp);
        }

        return new()
        {
            Id = id,
            Known = Known,
            Version = Version,
            Life = Life,
            Attributes = Attributes,
            Impressions = Impressions,
            Clicks = Clicks,
            History = ImmutableCollectionsMarshal.AsImmutableArray(history),
            Encoding = Encoding?.ToEncoding(),
        };
    }
}

/// <summary>A user's encoding on its way between a scoring silo and the user's grain.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.UserEncoding")]
public sealed class EncodingMessage
{
    /// <summary>Version of the bundle that computed it.</summary>
    [Id(0)]
    public required string Bundle { get; init; }

    /// <summary>The user's version that it was computed from.</summary>
    [Id(1)]
    public long UserVersion { get; init; }

    /// <summary>Which rows of the history's items it was computed from; see <see cref="UserEncoding.HistoryRows"/>.</summary>
    [Id(2)]
    public ulong HistoryRows { get; init; }

    /// <summary>[S] floats.</summary>
    [Id(3)]
    public required float[] UserState { get; init; }

    /// <summary>[L, H] floats.</summary>
    [Id(4)]
    public required float[] HistoryState { get; init; }

    internal static EncodingMessage Of(UserEncoding encoding) => new()
    {
        Bundle = encoding.Bundle,
        UserVersion = encoding.UserVersion,
        HistoryRows = encoding.HistoryRows,
        UserState = encoding.UserState,
        HistoryState = encoding.HistoryState,
    };

    internal UserEncoding ToEncoding() => new(Bundle, UserVersion, Pinned(UserState), Pinned(HistoryState)) { HistoryRows = HistoryRows };

    // The scorer reads them in place.
    private static float[] Pinned(float[] values)
    {
        var pinned = GC.AllocateUninitializedArray<float>(values.Length, pinned: true);
        values.CopyTo(pinned, 0);
        return pinned;
    }
}
