using System.Text;
using System.Text.Json;
using RecBackend.Core.Catalog;
using RecBackend.Core.Features;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Core.Tests.Features;

/// <summary>Training and serving compute the same numbers: tests/golden/features.json was written by training.</summary>
public class GoldenFeatureTests
{
    private static readonly JsonElement Golden = Read();
    private static readonly float Tolerance = Golden.GetProperty("tolerance").GetSingle();

    [Fact]
    public void Statistics_are_those_of_training()
    {
        Assert.NotEqual(0, Golden.GetProperty("statistics").GetArrayLength());
        foreach (var vector in Golden.GetProperty("statistics").EnumerateArray())
        {
            var counters = new ItemCounters(
                vector.GetProperty("impressions").GetInt64(),
                vector.GetProperty("clicks").GetInt64(),
                vector.GetProperty("first_seen") is { ValueKind: JsonValueKind.Number } seen ? Milliseconds(seen) : ItemCounters.NeverSeen);
            var field = Field(vector);
            var value = new float[1];
            StatisticFeatures.WriteTimeless([field], counters, value);
            value[0] = field.Kind == StatisticKind.Age ? StatisticFeatures.Age(counters.FirstSeen, Milliseconds(vector.GetProperty("request"))) : value[0];
            AssertClose(vector.GetProperty("value").GetSingle(), value[0], vector.ToString());
        }
    }

    /// <summary>Each row is ranked before it is told, as a replay does: nothing of the row itself may show.</summary>
    [Fact]
    public void Replayed_events_give_the_features_of_training()
    {
        var stream = Golden.GetProperty("stream");
        var layout = FakeModel.LayoutOf("golden") with
        {
            ItemId = 0,
            Representation = 1,
            History = stream.GetProperty("history").GetInt32(),
            Statistics = [.. stream.GetProperty("statistics").EnumerateArray().Select(Field)],
            UserStatistics = [.. stream.GetProperty("user_statistics").EnumerateArray().Select(Field)],
            Context = [.. stream.GetProperty("context").EnumerateArray().Select(field => field.GetProperty("name").GetString()!)],
        };
        var rows = stream.GetProperty("rows").EnumerateArray().ToArray();
        var serving = new ServingModel(new FakeModel(1) { Layout = layout }, new ItemCatalog(layout, RowPrecision.Single));
        var users = new Dictionary<string, UserState>();
        var items = new Dictionary<string, (ItemCounters Counters, long Version)>();
        string[] names = [.. rows.Select(row => row.GetProperty("item").GetString()!).Distinct()];
        foreach (var (number, name) in names.Index())
        {
            // The one float of its representation says which item it is.
            serving.Catalog.Put(Encoding.UTF8.GetBytes(name), 1, [number], cold: true, ItemCounters.None);
            items[name] = (ItemCounters.None, 1);
        }

        foreach (var (number, row) in rows.Index())
        {
            var (user, item, time) = (row.GetProperty("user").GetString()!, row.GetProperty("item").GetString()!, Milliseconds(row.GetProperty("timestamp")));
            var state = users.GetValueOrDefault(user) ?? (users[user] = new UserState(user, TimeProvider.System));
            AssertFeatures(row, serving, state.Snapshot, item, time, names);

            Tell(InteractionEvent.Impression);
            if (row.GetProperty("label").GetInt32() == 1)
            {
                Tell(InteractionEvent.Click);
            }

            state.Commit();

            void Tell(string type)
            {
                state.Apply(new($"{number} {type}", type, user, item, time, null));
                items[item] = (items[item].Counters.After(type, time), items[item].Version + 1);
                serving.Catalog.UpdateCounters(Encoding.UTF8.GetBytes(item), items[item].Version, items[item].Counters);
            }
        }
    }

    private static void AssertFeatures(JsonElement row, ServingModel serving, UserSnapshot user, string item, long time, string[] names)
    {
        var layout = serving.Layout;
        var candidates = new Core.Ranking.CandidateList();
        candidates.Add(Encoding.UTF8.GetBytes(item));
        var gathered = new CandidateRows();
        serving.Catalog.Gather(candidates, time, gathered);
        AssertClose(row.GetProperty("item_statistics"), gathered.Statistics(0));

        var features = new UserFeatures(layout);
        UserFeatureWriter.Write(user, serving, features);
        AssertClose(row.GetProperty("user_statistics"), features.UserStatistics);
        string[] history = [.. row.GetProperty("history").EnumerateArray().Select(name => name.GetString()!)];
        Assert.Equal(history, features.History.Take(history.Length).Select(place => names[(int)place]));
        Assert.Equal(Enumerable.Range(0, layout.History).Select(place => place < history.Length ? 1f : 0f), features.Mask);
        Assert.Equal(Enumerable.Range(0, layout.History).Select(place => place < history.Length ? 1L : 0L), features.Actions);
        AssertClose(row.GetProperty("history_intervals"), features.Intervals.AsSpan(0, history.Length));

        var context = new float[layout.Context.Count];
        ContextFeatures.Write(layout.Context, time, UserFeatureWriter.NewestEvent(user, serving), [], context);
        AssertClose(row.GetProperty("context"), context);
    }

    private static StatisticField Field(JsonElement vector) => vector.GetProperty("name").GetString() switch
    {
        "impressions" => new(StatisticKind.Impressions),
        "click_rate" => new(StatisticKind.ClickRate, vector.GetProperty("prior").GetDouble(), vector.GetProperty("strength").GetDouble()),
        "age" => new(StatisticKind.Age),
        var other => throw new InvalidDataException($"unknown statistic {other}"),
    };

    private static long Milliseconds(JsonElement seconds) => (long)Math.Round(seconds.GetDouble() * 1000);

    private static void AssertClose(JsonElement expected, ReadOnlySpan<float> actual)
    {
        float[] values = [.. expected.EnumerateArray().Select(value => value.GetSingle())];
        Assert.Equal(values.Length, actual.Length);
        for (var i = 0; i < values.Length; i++)
        {
            AssertClose(values[i], actual[i], $"{expected} at {i}");
        }
    }

    private static void AssertClose(float expected, float actual, string where) =>
        Assert.True(Math.Abs(expected - actual) <= Tolerance * Math.Max(1, Math.Abs(expected)), $"{where}: expected {expected:r}, got {actual:r}");

    private static JsonElement Read()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "RecBackend.sln")))
        {
            folder = folder.Parent ?? throw new InvalidOperationException("The tests run outside of the repository.");
        }

        using var document = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder.FullName, "tests", "golden", "features.json")));
        return document.RootElement.Clone();
    }
}
