using System.Text.Json;
using System.Text.Json.Serialization;
using RecBackend.Core.Items;

namespace RecBackend.Embedded.Items;

/// <summary>
/// How the describing part of a content is stored: one JSON object without what is empty. JSON, because a person with a sqlite3 shell can read it and a later program can add fields
/// without a migration; the bulky parts (image, image features) are columns beside it, as bytes.
/// </summary>
internal sealed record StoredContent
{
    public string? Title { get; init; }

    public string? Text { get; init; }

    public IReadOnlyList<string>? Categories { get; init; }

    public IReadOnlyList<string>? Tags { get; init; }

    public IReadOnlyDictionary<string, string>? Attributes { get; init; }

    public static byte[] Write(ItemContent content) =>
        JsonSerializer.SerializeToUtf8Bytes(
            new StoredContent
            {
                Title = content.Title,
                Text = content.Text,
                Categories = content.Categories.Count == 0 ? null : content.Categories,
                Tags = content.Tags.Count == 0 ? null : content.Tags,
                Attributes = content.Attributes.Count == 0 ? null : content.Attributes,
            },
            ContentJson.Default.StoredContent);

    public static ItemContent Read(ReadOnlySpan<byte> utf8, byte[]? image, float[]? imageFeatures)
    {
        var stored = JsonSerializer.Deserialize(utf8, ContentJson.Default.StoredContent)!;
        var content = new ItemContent { Title = stored.Title, Text = stored.Text, Image = image, ImageFeatures = imageFeatures };
        return content with
        {
            Categories = stored.Categories ?? content.Categories,
            Tags = stored.Tags ?? content.Tags,
            Attributes = stored.Attributes ?? content.Attributes,
        };
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(StoredContent))]
internal sealed partial class ContentJson : JsonSerializerContext;
