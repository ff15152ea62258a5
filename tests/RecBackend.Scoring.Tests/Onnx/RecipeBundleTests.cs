using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Core.Items;
using RecBackend.Core.Models;

namespace RecBackend.Scoring.Tests.Onnx;

/// <summary>
/// What a host relies on in every bundle, whatever the recipe.
/// That wrong examples are refused is in <see cref="Bundles.BundleRefusalTests"/>, that rankings may be joined in <see cref="RankBatcherTests"/>.
/// </summary>
public sealed class RecipeBundleTests(GoldenModels models) : IClassFixture<GoldenModels>
{
    private const int Seed = 17;
    private const float Tolerance = 1e-6f;

    /// <summary>In the golden examples, the first user has the fullest history, the second an empty one.</summary>
    private const int FullHistory = 0, EmptyHistory = 1;

    public static TheoryData<string, int> Counts => Golden.EachBundleWith(1, 2, 333);

    [Theory]
    [MemberData(nameof(Golden.EachBundle), MemberType = typeof(Golden))]
    public async Task Bundle_passes_its_load_check(string bundle)
    {
        var manifest = JsonNode.Parse(await File.ReadAllTextAsync(Golden.Path(bundle, "manifest.json")))!;

        var model = await models.LoadAsync(bundle);

        Assert.Equal((string)manifest["version"]!, model.Layout.Version);
        Assert.StartsWith(model.Layout.Recipe, Path.GetFileName(bundle), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Counts))]
    public async Task Score_does_not_depend_on_other_candidates(string bundle, int count)
    {
        var model = await models.LoadAsync(bundle);
        var (rows, context) = await CandidatesAsync(model, count);
        foreach (var place in new[] { FullHistory, EmptyHistory })
        {
            var user = await UserAsync(model, bundle, place);
            var together = await ModelFixture.ScoreAsync(model, user, rows, count, context);

            var alone = new float[count];
            for (var i = 0; i < count; i++)
            {
                alone[i] = (await ModelFixture.ScoreAsync(model, user, RowsOf(model, rows, [i]), 1, context))[0];
            }

            AssertEqual(alone, together, Tolerance);
            Assert.InRange(together.Distinct().Count(), (count + 1) / 2, count);
            Assert.All(together, score => Assert.InRange(score, 0, 1));
        }
    }

    [Theory]
    [MemberData(nameof(Golden.EachBundle), MemberType = typeof(Golden))]
    public async Task Score_does_not_depend_on_the_order_of_candidates_nor_on_which_others_there_are(string bundle)
    {
        var model = await models.LoadAsync(bundle);
        var (rows, context) = await CandidatesAsync(model, 100);
        var user = await UserAsync(model, bundle, FullHistory);
        var order = Enumerable.Range(0, 100).ToArray();
        new Random(Seed).Shuffle(order);
        var straight = await ModelFixture.ScoreAsync(model, user, rows, 100, context);

        foreach (var size in new[] { 100, 61, 7 })
        {
            var chosen = order[..size];
            var shuffled = await ModelFixture.ScoreAsync(model, user, RowsOf(model, rows, chosen), size, context);

            AssertEqual([.. chosen.Select(place => straight[place])], shuffled, Tolerance);
        }
    }

    [Theory]
    [MemberData(nameof(Golden.EachBundle), MemberType = typeof(Golden))]
    public async Task User_encoding_of_one_is_that_of_training(string bundle)
    {
        var model = await models.LoadAsync(bundle);
        for (var user = 0; user < 8; user++)
        {
            var (features, userState, historyState) = ModelFixture.GoldenUser(model.Layout, user, bundle);

            var encoding = await model.EncodeUserAsync(features, 42, default);

            AssertEqual(userState, encoding.UserState, 1e-4f);
            AssertEqual(historyState, encoding.HistoryState, 1e-4f);
            Assert.True(encoding.IsFor(model.Layout.Version, 42));
        }
    }

    [Theory]
    [MemberData(nameof(Golden.EachBundle), MemberType = typeof(Golden))]
    public async Task Representation_does_not_depend_on_the_batch(string bundle)
    {
        var model = await models.LoadAsync(bundle);
        var items = ModelFixture.Contents(37, Seed);
        var together = await EncodeAsync(model, items);

        for (var i = 0; i < items.Count; i++)
        {
            AssertEqual(together[i], (await EncodeAsync(model, [items[i]]))[0], Tolerance);
        }
    }

    [Theory]
    [MemberData(nameof(Golden.EachBundle), MemberType = typeof(Golden))]
    public async Task Item_and_user_of_whom_little_is_known_get_a_probability(string bundle)
    {
        var model = await models.LoadAsync(bundle);
        var full = ModelFixture.Contents(2, Seed)[1];
        var items = new[] { full, full with { Title = null, Text = null, Tags = [] }, full with { Image = null, ImageFeatures = null }, new ItemContent() };
        var rows = Rows(model, await EncodeAsync(model, items), () => 0, _ => "an ID that training never saw");
        var unknown = new UserFeatures(model.Layout);
        Assert.False(model.TryGetUserEmbedding("a user whom training never saw", unknown.UserEmbedding));

        foreach (var user in new[] { await UserAsync(model, bundle, FullHistory), await UserAsync(model, bundle, EmptyHistory), await model.EncodeUserAsync(unknown, 1, default) })
        {
            var scores = await ModelFixture.ScoreAsync(model, user, rows, items.Length, ModelFixture.Pinned(model.Layout.Context.Count, _ => 0));

            Assert.All(scores, score => Assert.InRange(score, float.Epsilon, 1 - 1e-6f));
        }
    }

    private static async Task<UserEncoding> UserAsync(IModel model, string bundle, int user) =>
        await model.EncodeUserAsync(ModelFixture.GoldenUser(model.Layout, user, bundle).Features, 1, default);

    /// <summary>Rows of items with content of every kind, half of them with an ID that training knew, and a context.</summary>
    private static async Task<(float[] Rows, float[] Context)> CandidatesAsync(IModel model, int count)
    {
        var random = new Random(Seed + count);
        var representations = await EncodeAsync(model, ModelFixture.Contents(count, Seed));
        return (Rows(model, representations, random.NextSingle, i => $"i{i % 94:00}"), ModelFixture.Pinned(model.Layout.Context.Count, _ => random.NextSingle()));
    }

    private static float[] Rows(IModel model, float[][] representations, Func<float> statistic, Func<int, string> id)
    {
        var layout = model.Layout;
        var rows = ModelFixture.Pinned(representations.Length * layout.Row, _ => statistic());
        for (var i = 0; i < representations.Length; i++)
        {
            model.TryGetItemEmbedding(Encoding.UTF8.GetBytes(id(i)), rows.AsSpan(i * layout.Row, layout.ItemId));
            representations[i].CopyTo(rows, (i * layout.Row) + layout.ItemId);
        }

        return rows;
    }

    private static async Task<float[][]> EncodeAsync(IModel model, IReadOnlyList<ItemContent> items)
    {
        var representations = new float[items.Count * model.Layout.Representation];
        await model.EncodeItemsAsync(items, representations, EncodingUrgency.Warm, default);
        return [.. representations.Chunk(model.Layout.Representation)];
    }

    private static float[] RowsOf(IModel model, float[] rows, int[] places)
    {
        var width = model.Layout.Row;
        return ModelFixture.Pinned(places.Length * width, i => rows[(places[i / width] * width) + (i % width)]);
    }

    private static void AssertEqual(float[] expected, float[] actual, float tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.All(expected.Zip(actual), pair => Assert.InRange(Math.Abs(pair.First - pair.Second), 0, tolerance));
    }
}
