using System.Globalization;
using System.IO.Compression;
using System.Text.Json;
using RecBackend.Core.Items;
using RecBackend.Core.Users;

namespace RecBackend.Bench.DataSets;

/// <summary>A folder in the neutral data form: what a catalogue and its users are made of for a measurement.</summary>
internal sealed class DataSet
{
    private DataSet(IReadOnlyList<ItemWrite> items, IReadOnlyList<UserProfile> users, IReadOnlyList<Impression> impressions)
    {
        Items = items;
        Users = users;
        Impressions = impressions;
    }

    public IReadOnlyList<ItemWrite> Items { get; }

    public IReadOnlyList<UserProfile> Users { get; }

    public IReadOnlyList<Impression> Impressions { get; }

    public static DataSet Read(string folder)
    {
        var items = File.ReadLines(Path.Combine(folder, "items.jsonl")).Select(ReadItem).ToList();
        var users = Path.Combine(folder, "users.jsonl");
        return new DataSet(items, File.Exists(users) ? [.. File.ReadLines(users).Select(ReadUser)] : [], ReadImpressions(folder));
    }

    /// <summary>
    /// The same data with at least <paramref name="count"/> items: copies of its items under IDs of their own, which a model treats as new items. Small samples need them to fill a request with
    /// distinct candidates.
    /// </summary>
    public DataSet WithAtLeast(int count)
    {
        var items = Items.ToList();
        for (var copy = 0; items.Count < count; copy++)
        {
            items.Add(new ItemWrite(string.Create(CultureInfo.InvariantCulture, $"copy-{copy:D6}"), Items[copy % Items.Count].Content));
        }

        return new DataSet(items, Users, Impressions);
    }

    private static ItemWrite ReadItem(string line)
    {
        using var document = JsonDocument.Parse(line);
        var item = document.RootElement;
        return new ItemWrite(item.GetProperty("id").GetString()!, new ItemContent
        {
            Title = Text(item, "title"),
            Text = Text(item, "text"),
            Categories = Texts(item, "categories"),
            Tags = Texts(item, "tags"),
            Attributes = Attributes(item),
            ImageFeatures = item.TryGetProperty("image_features", out var features) ? [.. features.EnumerateArray().Select(x => x.GetSingle())] : null,
        });
    }

    private static UserProfile ReadUser(string line)
    {
        using var document = JsonDocument.Parse(line);
        return new UserProfile(document.RootElement.GetProperty("id").GetString()!, Attributes(document.RootElement));
    }

    private static string? Text(JsonElement element, string name) => element.TryGetProperty(name, out var value) ? value.GetString() : null;

    private static string[] Texts(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) ? [.. value.EnumerateArray().Select(x => x.GetString()!)] : [];

    private static Dictionary<string, string> Attributes(JsonElement element) =>
        element.TryGetProperty("attributes", out var value) ? value.EnumerateObject().ToDictionary(x => x.Name, x => x.Value.ToString()) : [];

    private static List<Impression> ReadImpressions(string folder)
    {
        var path = Path.Combine(folder, "events.csv");
        using Stream file = File.Exists(path) ? File.OpenRead(path) : new GZipStream(File.OpenRead(path + ".gz"), CompressionMode.Decompress);
        using var reader = new StreamReader(file);
        var columns = reader.ReadLine()!.Split(',');
        var (user, item, timestamp, label) = (Column("user"), Column("item"), Column("timestamp"), Column("label"));
        var impressions = new List<Impression>();
        while (reader.ReadLine() is { } line)
        {
            var fields = line.Split(',');
            impressions.Add(new Impression(
                fields[user], fields[item], long.Parse(fields[timestamp], CultureInfo.InvariantCulture), fields[label].Trim() is "1" or "1.0"));
        }

        return impressions;

        int Column(string name) => Array.IndexOf(columns, name) is var place and >= 0
            ? place
            : throw new InvalidDataException($"{path}: the header has no column '{name}'.");
    }
}

/// <summary>One row of a data set's events.</summary>
/// <param name="User">The user.</param>
/// <param name="Item">The item that was shown.</param>
/// <param name="Timestamp">When, Unix seconds.</param>
/// <param name="Clicked">Whether it was clicked.</param>
internal readonly record struct Impression(string User, string Item, long Timestamp, bool Clicked)
{
    /// <summary>The events that tell a server of row <paramref name="row"/>.</summary>
    public IEnumerable<InteractionEvent> Events(long row)
    {
        var id = row.ToString(CultureInfo.InvariantCulture);
        yield return new InteractionEvent("i" + id, InteractionEvent.Impression, User, Item, Timestamp * 1000, null);
        if (Clicked)
        {
            yield return new InteractionEvent("c" + id, InteractionEvent.Click, User, Item, Timestamp * 1000, null);
        }
    }
}
