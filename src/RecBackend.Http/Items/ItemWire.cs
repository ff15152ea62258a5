using RecBackend.Core.Items;

namespace RecBackend.Http.Items;

/// <summary>What an item is. Every member but the ID of a batch's line may be left out.</summary>
public sealed record ItemBody
{
    /// <summary>The item's ID; of <c>PUT</c> it may be left out, else it is that of the path.</summary>
    public string? Id { get; init; }

    /// <summary>Short name.</summary>
    public string? Title { get; init; }

    /// <summary>Description of any length; the model reads its beginning.</summary>
    public string? Text { get; init; }

    /// <summary>Categories, most important first.</summary>
    public IReadOnlyList<string?>? Categories { get; init; }

    /// <summary>Free tags.</summary>
    public IReadOnlyList<string?>? Tags { get; init; }

    /// <summary>Named categorical attributes, such as a year or a brand.</summary>
    public IReadOnlyDictionary<string, string?>? Attributes { get; init; }

    /// <summary>A JPEG or PNG file in base64.</summary>
    public byte[]? Image { get; init; }

    /// <summary>Image features computed elsewhere, as many as the bundle reads.</summary>
    public float[]? ImageFeatures { get; init; }

    // A null in a list becomes an empty label, which the writer refuses in words.
    internal ItemWrite ToWrite(string id) => new(id, new ItemContent
    {
        Title = Title,
        Text = Text,
        Categories = [.. Categories?.Select(label => label ?? "") ?? []],
        Tags = [.. Tags?.Select(label => label ?? "") ?? []],
        Attributes = Attributes?.ToDictionary(pair => pair.Key, pair => pair.Value ?? "", StringComparer.Ordinal) ?? [],
        Image = Image,
        ImageFeatures = ImageFeatures,
    });
}

/// <summary>An item as the host keeps it.</summary>
public sealed record ItemReply
{
    /// <summary>The item's ID.</summary>
    public required string Id { get; init; }

    /// <summary>Raised by each write to the item.</summary>
    public required long Version { get; init; }

    /// <summary>Short name.</summary>
    public string? Title { get; init; }

    /// <summary>Description.</summary>
    public string? Text { get; init; }

    /// <summary>Categories.</summary>
    public required IReadOnlyList<string> Categories { get; init; }

    /// <summary>Tags.</summary>
    public required IReadOnlyList<string> Tags { get; init; }

    /// <summary>Attributes.</summary>
    public required IReadOnlyDictionary<string, string> Attributes { get; init; }

    /// <summary>Size of the image file; absent without one.</summary>
    public int? ImageBytes { get; init; }

    /// <summary>Number of image features; absent without any.</summary>
    public int? ImageFeatures { get; init; }

    /// <summary>How often it was shown.</summary>
    public required long Impressions { get; init; }

    /// <summary>How often it was clicked.</summary>
    public required long Clicks { get; init; }

    /// <summary>Time of its first event; absent without one.</summary>
    public DateTimeOffset? FirstSeen { get; init; }

    /// <summary>The bundles for which it has a representation.</summary>
    public required IReadOnlyList<RepresentationReply> Representations { get; init; }

    internal static ItemReply Of(ItemRecord item) => new()
    {
        Id = item.Id,
        Version = item.Version,
        Title = item.Content.Title,
        Text = item.Content.Text,
        Categories = item.Content.Categories,
        Tags = item.Content.Tags,
        Attributes = item.Content.Attributes,
        ImageBytes = item.Content.Image?.Length,
        ImageFeatures = item.Content.ImageFeatures?.Length,
        Impressions = item.Counters.Impressions,
        Clicks = item.Counters.Clicks,
        FirstSeen = item.Counters.FirstSeen == ItemCounters.NeverSeen ? null : DateTimeOffset.FromUnixTimeMilliseconds(item.Counters.FirstSeen),
        Representations = [.. item.Representations.Select(made => new RepresentationReply(made.Bundle, made.Source == RepresentationSource.External ? "external" : "computed", made.Values.Length))],
    };
}

/// <summary>A representation that an item has.</summary>
/// <param name="Bundle">Version of the bundle that it is made for.</param>
/// <param name="Source"><c>computed</c> by the bundle's item encoder, or <c>external</c>.</param>
/// <param name="Length">Its floats.</param>
public sealed record RepresentationReply(string Bundle, string Source, int Length);
