using RecBackend.Core.Users;

namespace RecBackend.Core.Items;

/// <summary>An item as the engine keeps it: the truth from which catalogue rows are made.</summary>
/// <param name="Id">The item's ID.</param>
/// <param name="Version">Raised by each write to the item, also across delete and re-insert.</param>
/// <param name="Content">The content of the last upsert.</param>
/// <param name="Counters">What events have counted.</param>
/// <param name="Representations">At most one for each bundle; a bundle that is no longer kept loses its own.</param>
public sealed record ItemRecord(
    string Id,
    long Version,
    ItemContent Content,
    ItemCounters Counters,
    IReadOnlyList<Representation> Representations)
{
    /// <summary>The version at which content or representations were last written: what is later changed counters alone.</summary>
    public long RowVersion { get; init; } = Version;

    /// <summary>The representation made for <paramref name="bundle"/>, or null.</summary>
    public Representation? RepresentationFor(string bundle)
    {
        foreach (var representation in Representations)
        {
            if (representation.Bundle == bundle)
            {
                return representation;
            }
        }

        return null;
    }
}

/// <summary>What events have counted of an item.</summary>
/// <param name="Impressions">Number of <c>impression</c> events.</param>
/// <param name="Clicks">Number of events of an action type.</param>
/// <param name="FirstSeen">Time of the item's first event in Unix milliseconds, or <see cref="NeverSeen"/>.</param>
public readonly record struct ItemCounters(long Impressions, long Clicks, long FirstSeen)
{
    /// <summary>The <see cref="FirstSeen"/> of an item without events.</summary>
    public const long NeverSeen = long.MinValue;

    /// <summary>An item without events.</summary>
    public static ItemCounters None { get; } = new(0, 0, NeverSeen);

    /// <summary>The counters of both together.</summary>
    public ItemCounters Plus(in ItemCounters other) => new(
        Impressions + other.Impressions,
        Clicks + other.Clicks,
        FirstSeen == NeverSeen ? other.FirstSeen : other.FirstSeen == NeverSeen ? FirstSeen : Math.Min(FirstSeen, other.FirstSeen));

    /// <summary>The counters after an event: whatever is not an impression counts as an action.</summary>
    /// <param name="type">The event's type.</param>
    /// <param name="timestamp">When it happened, Unix milliseconds; events may come late.</param>
    public ItemCounters After(string type, long timestamp)
    {
        var firstSeen = FirstSeen == NeverSeen ? timestamp : Math.Min(FirstSeen, timestamp);
        return type == InteractionEvent.Impression ? new(Impressions + 1, Clicks, firstSeen) : new(Impressions, Clicks + 1, firstSeen);
    }
}

/// <summary>Where a representation comes from.</summary>
public enum RepresentationSource
{
    /// <summary>Computed by the bundle's item encoder from the content; a new content replaces it.</summary>
    Computed,

    /// <summary>Given by a caller through the embeddings API; a new content leaves it alone.</summary>
    External,
}

/// <summary>An item's representation for one bundle.</summary>
/// <param name="Bundle">Version of the bundle; a score never mixes bundles.</param>
/// <param name="Values">The vector, of the bundle's <c>dims.representation</c> floats, all finite. Not to be changed.</param>
/// <param name="Source">Where it comes from.</param>
public sealed record Representation(string Bundle, float[] Values, RepresentationSource Source);
