using MessagePack;
using RecBackend.Core.Items;

namespace RecBackend.Grains.Items;

/// <summary>An item's content, as it is sent and stored.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ItemContent"), MessagePackObject]
public sealed class ContentState
{
    /// <summary>See <see cref="ItemContent.Title"/>.</summary>
    [Id(0), Key(0)]
    public string? Title { get; init; }

    /// <summary>See <see cref="ItemContent.Text"/>.</summary>
    [Id(1), Key(1)]
    public string? Text { get; init; }

    /// <summary>See <see cref="ItemContent.Categories"/>.</summary>
    [Id(2), Key(2)]
    public string[] Categories { get; set; } = [];

    /// <summary>See <see cref="ItemContent.Tags"/>.</summary>
    [Id(3), Key(3)]
    public string[] Tags { get; set; } = [];

    /// <summary>See <see cref="ItemContent.Attributes"/>.</summary>
    [Id(4), Key(4)]
    public Dictionary<string, string> Attributes { get; set; } = [];

    /// <summary>See <see cref="ItemContent.Image"/>.</summary>
    [Id(5), Key(5)]
    public byte[]? Image { get; init; }

    /// <summary>See <see cref="ItemContent.ImageFeatures"/>.</summary>
    [Id(6), Key(6)]
    public float[]? ImageFeatures { get; init; }

    internal static ContentState Of(ItemContent content) => new()
    {
        Title = content.Title,
        Text = content.Text,
        Categories = [.. content.Categories],
        Tags = [.. content.Tags],
        Attributes = content.Attributes.ToDictionary(),
        Image = content.Image,
        ImageFeatures = content.ImageFeatures,
    };

    internal ItemContent ToContent() => new()
    {
        Title = Title,
        Text = Text,
        Categories = Categories,
        Tags = Tags,
        Attributes = Attributes,
        Image = Image,
        ImageFeatures = ImageFeatures,
    };

    /// <summary>About how much memory it takes, in bytes.</summary>
    internal int Size() =>
        100
        + (2 * ((Title?.Length ?? 0) + (Text?.Length ?? 0) + Categories.Sum(one => one.Length + 12) + Tags.Sum(one => one.Length + 12)))
        + (2 * Attributes.Sum(one => one.Key.Length + one.Value.Length + 40))
        + (Image?.Length ?? 0)
        + (4 * (ImageFeatures?.Length ?? 0));
}

/// <summary>A representation, as it is sent and stored.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.Representation"), MessagePackObject]
public sealed class RepresentationState
{
    /// <summary>Version of the bundle.</summary>
    [Id(0), Key(0)]
    public required string Bundle { get; init; }

    /// <summary>The vector.</summary>
    [Id(1), Key(1)]
    public required float[] Values { get; init; }

    /// <summary>Whether it came from outside.</summary>
    [Id(2), Key(2)]
    public bool External { get; init; }

    /// <summary>About how much memory it takes, in bytes.</summary>
    internal int Size() => 60 + (4 * Values.Length);

    internal static RepresentationState Of(Representation representation) => new()
    {
        Bundle = representation.Bundle,
        Values = representation.Values,
        External = representation.Source == RepresentationSource.External,
    };

    internal Representation ToRepresentation() => new(Bundle, Values, External ? RepresentationSource.External : RepresentationSource.Computed);
}

/// <summary>Counters, as they are sent and stored.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ItemCounters"), MessagePackObject]
public readonly record struct CountersState(
    [property: Id(0), Key(0)] long Impressions,
    [property: Id(1), Key(1)] long Clicks,
    [property: Id(2), Key(2)] long FirstSeen)
{
    internal static CountersState Of(ItemCounters counters) => new(counters.Impressions, counters.Clicks, counters.FirstSeen);

    internal ItemCounters ToCounters() => new(Impressions, Clicks, FirstSeen);
}

/// <summary>An upsert on its way to the item's shard.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.UpsertMessage")]
public sealed class UpsertMessage
{
    /// <summary>The item.</summary>
    [Id(0)]
    public required string Id { get; init; }

    /// <summary>Its content.</summary>
    [Id(1)]
    public required ContentState Content { get; init; }

    /// <summary>The representation that was computed from it, or null.</summary>
    [Id(2)]
    public RepresentationState? Representation { get; init; }

    internal long Size() => MessageSize.Of(Id) + Content.Size() + (Representation?.Size() ?? 0);

    internal static UpsertMessage Of(ItemUpsert upsert) => new()
    {
        Id = upsert.Id,
        Content = ContentState.Of(upsert.Content),
        Representation = upsert.Representation is { } representation ? RepresentationState.Of(representation) : null,
    };

    internal ItemUpsert ToUpsert() => new(Id, Content.ToContent(), Representation?.ToRepresentation());
}

/// <summary>A representation on its way to the item's shard.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.RepresentationMessage")]
public sealed class RepresentationMessage
{
    /// <summary>The item.</summary>
    [Id(0)]
    public required string Id { get; init; }

    /// <summary>The representation.</summary>
    [Id(1)]
    public required RepresentationState Representation { get; init; }

    /// <summary>See <see cref="RepresentationUpdate.IfVersion"/>.</summary>
    [Id(2)]
    public long? IfVersion { get; init; }

    internal long Size() => MessageSize.Of(Id) + Representation.Size();

    internal static RepresentationMessage Of(RepresentationUpdate update) =>
        new() { Id = update.Id, Representation = RepresentationState.Of(update.Representation), IfVersion = update.IfVersion };

    internal RepresentationUpdate ToUpdate() => new(Id, Representation.ToRepresentation(), IfVersion);
}

/// <summary>An item, as a shard gives it.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ItemReading")]
public sealed class ItemReading
{
    /// <summary>The item.</summary>
    [Id(0)]
    public required string Id { get; init; }

    /// <summary>Its version.</summary>
    [Id(1)]
    public long Version { get; init; }

    /// <summary>Its content.</summary>
    [Id(2)]
    public required ContentState Content { get; init; }

    /// <summary>Its counters.</summary>
    [Id(3)]
    public CountersState Counters { get; init; }

    /// <summary>Its representations.</summary>
    [Id(4)]
    public required RepresentationState[] Representations { get; init; }

    /// <summary>See <see cref="ItemRecord.RowVersion"/>.</summary>
    [Id(5)]
    public long RowVersion { get; init; }

    internal long Size() => MessageSize.Of(Id) + Content.Size() + Representations.Sum(one => one.Size());

    /// <summary>Whether it has a representation for a bundle.</summary>
    internal bool Has(string bundle) => Array.Exists(Representations, one => one.Bundle == bundle);

    internal static ItemReading Of(ItemRecord record) => new()
    {
        Id = record.Id,
        Version = record.Version,
        Content = ContentState.Of(record.Content),
        Counters = CountersState.Of(record.Counters),
        Representations = [.. record.Representations.Select(RepresentationState.Of)],
        RowVersion = record.RowVersion,
    };

    internal ItemRecord ToRecord() => new(Id, Version, Content.ToContent(), Counters.ToCounters(), [.. Representations.Select(one => one.ToRepresentation())])
    {
        RowVersion = RowVersion,
    };
}
