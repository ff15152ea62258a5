using System.Buffers;
using System.Text;
using RecBackend.Core.Models;

namespace RecBackend.Core.Items;

/// <summary>Largest content that is accepted.</summary>
public sealed record ItemLimits
{
    /// <summary>Characters of a title.</summary>
    public int Title { get; init; } = 1_000;

    /// <summary>Characters of a text.</summary>
    public int Text { get; init; } = 100_000;

    /// <summary>Categories of an item.</summary>
    public int Categories { get; init; } = 64;

    /// <summary>Tags of an item.</summary>
    public int Tags { get; init; } = 256;

    /// <summary>Attributes of an item.</summary>
    public int Attributes { get; init; } = 64;

    /// <summary>Characters of a category, a tag, an attribute's name or its value.</summary>
    public int Label { get; init; } = 256;

    /// <summary>Bytes of an image file.</summary>
    public int Image { get; init; } = 8 * 1024 * 1024;

    /// <summary>Floats of image features.</summary>
    public int ImageFeatures { get; init; } = 8_192;

    internal const string IdRule = "An ID has 1 to 128 bytes of UTF-8 and no control characters.";

    /// <summary>Null, or what is too much or not valid.</summary>
    public ContentProblem? Check(ItemWrite write)
    {
        if (!EntityId.IsValid(write.Id))
        {
            return new("item_id_invalid", IdRule);
        }

        var content = write.Content;
        return TooLarge("title_too_long", "title", content.Title?.Length, Title, "characters")
            ?? TooLarge("text_too_long", "text", content.Text?.Length, Text, "characters")
            ?? TooLarge("too_many_categories", "list of categories", content.Categories.Count, Categories, "entries")
            ?? TooLarge("too_many_tags", "list of tags", content.Tags.Count, Tags, "entries")
            ?? TooLarge("too_many_attributes", "map of attributes", content.Attributes.Count, Attributes, "entries")
            ?? TooLarge("image_too_large", "image", content.Image?.Length, Image, "bytes")
            ?? TooLarge("image_features_too_long", "vector of image features", content.ImageFeatures?.Length, ImageFeatures, "floats")
            ?? CheckFeatures(content.ImageFeatures)
            ?? CheckLabels(content)
            ?? CheckUnicode(content);
    }

    private static ContentProblem? TooLarge(string code, string part, int? size, int most, string unit) =>
        size > most ? new(code, $"The {part} has {size} {unit}; at most {most} are accepted.") : null;

    private static ContentProblem? CheckFeatures(float[]? features) =>
        features is not null && !Array.TrueForAll(features, float.IsFinite) ? new("image_features_not_finite", "Image features hold a NaN or an infinity.") : null;

    private static ContentProblem? CheckUnicode(ItemContent content)
    {
        foreach (var text in Labels(content).Append(content.Title).Append(content.Text))
        {
            if (text is not null && !IsWellFormed(text))
            {
                return new("text_invalid", "A text holds half of a surrogate pair, which no UTF-8 can carry.");
            }
        }

        return null;
    }

    private static bool IsWellFormed(string text)
    {
        for (var rest = text.AsSpan(); !rest.IsEmpty;)
        {
            if (Rune.DecodeFromUtf16(rest, out _, out var length) != OperationStatus.Done)
            {
                return false;
            }

            rest = rest[length..];
        }

        return true;
    }

    private static IEnumerable<string?> Labels(ItemContent content) =>
        [.. content.Categories, .. content.Tags, .. content.Attributes.Keys, .. content.Attributes.Values];

    private ContentProblem? CheckLabels(ItemContent content)
    {
        foreach (var label in Labels(content))
        {
            if (string.IsNullOrEmpty(label) || label.Length > Label)
            {
                return new("label_invalid", $"A category, a tag, an attribute's name or its value has 1 to {Label} characters.");
            }
        }

        return null;
    }
}
