namespace RecBackend.Core.Items;

/// <summary>What an item is, as its owner describes it. The model reads only this, never the ID's letters.</summary>
public sealed record ItemContent
{
    /// <summary>Short name.</summary>
    public string? Title { get; init; }

    /// <summary>Description of any length; the model reads its beginning.</summary>
    public string? Text { get; init; }

    /// <summary>Categories, most important first.</summary>
    public IReadOnlyList<string> Categories { get; init; } = [];

    /// <summary>Free tags.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];

    /// <summary>Named categorical attributes, such as a year or a brand.</summary>
    public IReadOnlyDictionary<string, string> Attributes { get; init; } = new Dictionary<string, string>();

    /// <summary>A JPEG or PNG file, or null.</summary>
    public byte[]? Image { get; init; }

    /// <summary>Image features computed elsewhere, or null. Their length must be the bundle's.</summary>
    public float[]? ImageFeatures { get; init; }
}
