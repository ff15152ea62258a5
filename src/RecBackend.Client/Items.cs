namespace RecBackend.Client;

/// <summary>What an item is. Every member but <see cref="Id"/> may be left out.</summary>
public sealed record Item
{
    /// <summary>The item's ID.</summary>
    public required string Id { get; init; }

    /// <summary>Short name.</summary>
    public string? Title { get; init; }

    /// <summary>Description.</summary>
    public string? Text { get; init; }

    /// <summary>Categories, most important first.</summary>
    public IReadOnlyList<string>? Categories { get; init; }

    /// <summary>Free tags.</summary>
    public IReadOnlyList<string>? Tags { get; init; }

    /// <summary>Named categorical attributes.</summary>
    public IReadOnlyDictionary<string, string>? Attributes { get; init; }

    /// <summary>A JPEG or PNG file.</summary>
    public byte[]? Image { get; init; }

    /// <summary>Image features computed elsewhere.</summary>
    public IReadOnlyList<float>? ImageFeatures { get; init; }
}

/// <summary>An item as the server keeps it.</summary>
public sealed record ItemState
{
    /// <summary>The item's ID.</summary>
    public required string Id { get; init; }

    /// <summary>Raised by each write to the item.</summary>
    public long Version { get; init; }

    /// <summary>Short name.</summary>
    public string? Title { get; init; }

    /// <summary>How often it was shown.</summary>
    public long Impressions { get; init; }

    /// <summary>How often it was clicked.</summary>
    public long Clicks { get; init; }

    /// <summary>The bundles for which it has a representation.</summary>
    public IReadOnlyList<ItemRepresentation> Representations { get; init; } = [];
}

/// <summary>A representation that an item has.</summary>
/// <param name="Bundle">Version of the bundle that it is made for.</param>
/// <param name="Source"><c>computed</c> by the bundle's item encoder, or <c>external</c>.</param>
/// <param name="Length">Its floats.</param>
public sealed record ItemRepresentation(string Bundle, string Source, int Length);

/// <summary>A representation from outside, to store.</summary>
/// <param name="Representation">The vector, of the bundle's length, all numbers finite.</param>
/// <param name="Bundle">Version of the bundle that it is made for; null = the active one.</param>
public sealed record ExternalRepresentation(IReadOnlyList<float> Representation, string? Bundle = null);

internal sealed record WarmRequest(IReadOnlyList<string>? Items);
