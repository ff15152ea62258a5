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
