using System.Text.Json;
using System.Text.Json.Serialization;
using RecBackend.Client;

namespace RecBackend.Cli.Data;

/// <summary>Reads <c>items.jsonl</c> and <c>users.jsonl</c>: one JSON object a line; empty lines are skipped.</summary>
internal static class ItemsFile
{
    /// <summary>The items in file order. An <c>image</c> is a path relative to the file; the item gets the file's bytes.</summary>
    /// <exception cref="DataException">A line is not an item, with its number.</exception>
    public static IEnumerable<(int Line, Item Item)> ReadItems(string path)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        foreach (var (line, text) in ReadLines(path))
        {
            var entry = Parse(path, line, text, DataJson.Default.ItemLine);
            if (string.IsNullOrEmpty(entry.Id))
            {
                throw new DataException(path, line, "id is missing");
            }

            yield return (line, new Item
            {
                Id = entry.Id,
                Title = entry.Title,
                Text = entry.Text,
                Categories = entry.Categories,
                Tags = entry.Tags,
                Attributes = entry.Attributes,
                Image = entry.Image is null ? null : ReadImage(path, line, Path.Combine(folder, entry.Image)),
                ImageFeatures = entry.ImageFeatures,
            });
        }
    }

    /// <summary>The user profiles in file order.</summary>
    /// <exception cref="DataException">A line is not a profile, with its number.</exception>
    public static IEnumerable<(int Line, UserProfile User)> ReadUsers(string path)
    {
        foreach (var (line, text) in ReadLines(path))
        {
            var entry = Parse(path, line, text, DataJson.Default.UserLine);
            if (string.IsNullOrEmpty(entry.Id))
            {
                throw new DataException(path, line, "id is missing");
            }

            yield return (line, new UserProfile(entry.Id, entry.Attributes ?? []));
        }
    }

    /// <summary>How many lines hold something.</summary>
    public static int CountLines(string path) => ReadLines(path).Count();

    private static IEnumerable<(int Line, string Text)> ReadLines(string path)
    {
        var line = 0;
        foreach (var text in File.ReadLines(path))
        {
            line++;
            if (!string.IsNullOrWhiteSpace(text))
            {
                yield return (line, text);
            }
        }
    }

    private static T Parse<T>(string path, int line, string text, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
    {
        try
        {
            return JsonSerializer.Deserialize(text, type) ?? throw new DataException(path, line, "is not a JSON object");
        }
        catch (JsonException e)
        {
            throw new DataException(path, line, $"is not a JSON object of the neutral form: {e.Message}", e);
        }
    }

    private static byte[] ReadImage(string path, int line, string image) =>
        File.Exists(image) ? File.ReadAllBytes(image) : throw new DataException(path, line, $"image {image} is not there");
}

/// <summary>A line of <c>items.jsonl</c>; unlike the API's item, its image is a path.</summary>
internal sealed record ItemLine(
    string? Id,
    string? Title,
    string? Text,
    List<string>? Categories,
    List<string>? Tags,
    Dictionary<string, string>? Attributes,
    string? Image,
    List<float>? ImageFeatures);

/// <summary>A line of <c>users.jsonl</c>.</summary>
internal sealed record UserLine(string? Id, Dictionary<string, string>? Attributes);

/// <summary><c>split.json</c>: by time, or by lists of new items.</summary>
internal sealed record SplitFile(double? ValidFrom, double? TestFrom, List<string>? TestItems, List<string>? ValidItems, int? WarmRows);

// An unknown member is refused, as training refuses it: a misspelt one would be lost without a word.
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(ItemLine))]
[JsonSerializable(typeof(UserLine))]
[JsonSerializable(typeof(SplitFile))]
internal sealed partial class DataJson : JsonSerializerContext;
