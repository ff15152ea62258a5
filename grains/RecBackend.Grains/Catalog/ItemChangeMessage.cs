using RecBackend.Core.Items;
using RecBackend.Grains.Items;

namespace RecBackend.Grains.Catalog;

/// <summary>A change of an item on its way to a replica of the catalogue: what rows are made of, without content.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ItemChange")]
public sealed class ItemChangeMessage
{
    /// <summary>The item.</summary>
    [Id(0)]
    public required string Id { get; init; }

    /// <summary>Its version after the change.</summary>
    [Id(1)]
    public long Version { get; init; }

    /// <summary>What changed.</summary>
    [Id(2)]
    public ItemChangeKind Kind { get; init; }

    /// <summary>The counters after the change.</summary>
    [Id(3)]
    public CountersState Counters { get; init; }

    /// <summary>The representations after the change; null unless they may have changed.</summary>
    [Id(4)]
    public RepresentationState[]? Representations { get; init; }

    internal static ItemChangeMessage Of(ItemChange change) => new()
    {
        Id = change.Id,
        Version = change.Version,
        Kind = change.Kind,
        Counters = CountersState.Of(change.Counters),
        Representations = change.Record is { } record ? [.. record.Representations.Select(RepresentationState.Of)] : null,
    };

    /// <summary>About how long it is on the wire, in bytes.</summary>
    internal int Size() => 64 + Id.Length + (Representations?.Sum(one => 32 + one.Bundle.Length + (4 * one.Values.Length)) ?? 0);

    internal ItemChange ToChange() => new(
        Id,
        Version,
        Kind,
        Representations is { } representations
            ? new(Id, Version, new ItemContent(), Counters.ToCounters(), [.. representations.Select(one => one.ToRepresentation())])
            : null,
        Counters.ToCounters());
}
