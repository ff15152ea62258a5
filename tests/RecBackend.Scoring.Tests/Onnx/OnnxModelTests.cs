using System.Text;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Tests.Onnx;

/// <summary>What does not depend on the recipe, by the tiny bundle; what does is in <see cref="RecipeBundleTests"/>.</summary>
public sealed class OnnxModelTests(ModelFixture fixture) : IClassFixture<ModelFixture>
{
    private const int Seed = 17;

    private readonly IModel _model = fixture.Model;

    private ModelLayout Layout => _model.Layout;

    [Fact]
    public async Task Buffers_may_be_longer_than_the_candidates()
    {
        var (user, rows, context) = await InputsAsync(10);
        var expected = await ScoreAsync(user, rows, 10, context);
        var (longRows, longContext) = (ModelFixture.Pinned(rows.Length * 3, i => i < rows.Length ? rows[i] : float.NaN), ModelFixture.Pinned(64, i => i < context.Length ? context[i] : float.NaN));
        var scores = ModelFixture.Pinned(30, _ => -1);

        await _model.ScoreAsync(user, longRows, 10, longContext, scores, Deadline.None, default);

        Assert.Equal(expected, scores[..10]);
        Assert.All(scores[10..], score => Assert.Equal(-1, score));
    }

    [Fact]
    public async Task Concurrent_scores_are_those_of_one_after_another()
    {
        var inputs = new List<(UserEncoding User, float[] Rows, int Count, float[] Context)>();
        for (var i = 0; i < 40; i++)
        {
            var (user, rows, context) = await InputsAsync(1 + (i * 7), user: i % 8);
            inputs.Add((user, rows, 1 + (i * 7), context));
        }

        var serial = new List<float[]>();
        foreach (var (user, rows, count, context) in inputs)
        {
            serial.Add(await ScoreAsync(user, rows, count, context));
        }

        for (var round = 0; round < 5; round++)
        {
            var concurrent = await Task.WhenAll(inputs.Select(input => Task.Run(() => ScoreAsync(input.User, input.Rows, input.Count, input.Context))));
            for (var i = 0; i < inputs.Count; i++)
            {
                Assert.Equal(serial[i], concurrent[i]);
            }
        }
    }

    [Fact]
    public async Task Every_part_of_the_content_reaches_the_representation()
    {
        var full = new ItemContent
        {
            Title = "Heat",
            Text = "Two men.",
            Tags = ["crime"],
            Categories = ["Drama"],
            Attributes = new Dictionary<string, string> { ["year"] = "1995" },
            ImageFeatures = [1, 2, 3, 4, 5, 6, 7, 8],
        };
        ItemContent[] items =
        [
            full, full with { Title = "Cold" }, full with { Text = "Two women." }, full with { Tags = [] }, full with { Categories = ["Comedy"] },
            full with { Attributes = new Dictionary<string, string>() }, full with { ImageFeatures = null }, full with { ImageFeatures = new float[8] },
        ];
        var representations = new float[items.Length * Layout.Representation];

        await _model.EncodeItemsAsync(items, representations, EncodingUrgency.Warm, default);

        Assert.Equal(items.Length, representations.Chunk(Layout.Representation).Select(vector => string.Join(' ', vector)).Distinct().Count());
    }

    [Fact]
    public async Task Encoding_nothing_gives_nothing() => await _model.EncodeItemsAsync([], Memory<float>.Empty, EncodingUrgency.Warm, default);

    [Fact]
    public void Unknown_ids_get_the_trained_unknown_vector()
    {
        using var items = SafeTensors.Open(Golden.Path("tiny-bundle", "items.safetensors"));
        var table = TestTensor.Floats(items, "embedding");
        var first = Encoding.UTF8.GetString(items.ReadBytes(items.Tensors["ids"])).Split('\n')[0];
        var embedding = new float[Layout.ItemId];

        Assert.False(_model.TryGetItemEmbedding("nobody knows this"u8, embedding));
        Assert.Equal(table[..Layout.ItemId], embedding);
        Assert.True(_model.TryGetItemEmbedding(Encoding.UTF8.GetBytes(first), embedding));
        Assert.Equal(table[Layout.ItemId..(2 * Layout.ItemId)], embedding);
        Assert.False(_model.TryGetUserEmbedding("nobody knows this", new float[Layout.UserId]));
    }

    [Theory]
    [InlineData("image_features_length", 7, 1f)]
    [InlineData("image_features_not_finite", 8, float.NaN)]
    [InlineData("image_features_not_finite", 8, float.PositiveInfinity)]
    [InlineData(null, 8, 1f)]
    public async Task Image_features_are_checked(string? code, int length, float value) =>
        Assert.Equal(code, (await _model.CheckAsync(new ItemContent { ImageFeatures = [.. Enumerable.Repeat(value, length)] }, default))?.Code);

    [Fact]
    public async Task Text_with_half_of_a_surrogate_pair_is_refused()
    {
        Assert.Equal("text_invalid", (await _model.CheckAsync(new ItemContent { Title = "a\uD83D" }, default))?.Code);
        Assert.Equal("text_invalid", (await _model.CheckAsync(new ItemContent { Text = "\uDE00b" }, default))?.Code);
        Assert.Equal("text_invalid", (await _model.CheckAsync(new ItemContent { Tags = ["fine", "\uDE00\uD83D"] }, default))?.Code);
        Assert.Null(await _model.CheckAsync(new ItemContent { Title = "a\uD83D\uDE00", Text = "日本", Tags = ["é"] }, default));
    }

    [Fact]
    public async Task Short_buffers_and_foreign_users_never_reach_native_code()
    {
        var (user, rows, context) = await InputsAsync(4);
        var scores = new float[4];
        var foreign = new UserEncoding("another", 1, user.UserState, user.HistoryState);

        await Assert.ThrowsAnyAsync<ArgumentException>(() => _model.ScoreAsync(user, rows[..^1], 4, context, scores, Deadline.None, default).AsTask());
        await Assert.ThrowsAnyAsync<ArgumentException>(() => _model.ScoreAsync(user, rows, 4, context[..^1], scores, Deadline.None, default).AsTask());
        await Assert.ThrowsAnyAsync<ArgumentException>(() => _model.ScoreAsync(user, rows, 4, context, scores[..^1], Deadline.None, default).AsTask());
        await Assert.ThrowsAnyAsync<ArgumentException>(() => _model.ScoreAsync(user, rows, 0, context, scores, Deadline.None, default).AsTask());
        await Assert.ThrowsAnyAsync<ArgumentException>(() => _model.ScoreAsync(foreign, rows, 4, context, scores, Deadline.None, default).AsTask());
    }

    [Fact]
    public async Task Scoring_allocates_less_than_2_KiB()
    {
        const int Rounds = 200;
        var (user, rows, context) = await InputsAsync(500);
        var scores = ModelFixture.Pinned(500, _ => 0);
        Run(Rounds);

        var before = GC.GetAllocatedBytesForCurrentThread();
        Run(Rounds);

        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / Rounds, 0, 2048);

        void Run(int rounds)
        {
            for (var i = 0; i < rounds; i++)
            {
                // On a free gate it runs on the calling thread, so that all it allocates is counted.
                Assert.True(_model.ScoreAsync(user, rows, 500, context, scores, Deadline.None, default).AsTask().IsCompletedSuccessfully);
            }
        }
    }

    private async Task<(UserEncoding User, float[] Rows, float[] Context)> InputsAsync(int count, int user = 0)
    {
        var random = new Random(Seed + count + user);
        var encoding = await _model.EncodeUserAsync(ModelFixture.GoldenUser(Layout, user).Features, 1, default);
        return (encoding, ModelFixture.Pinned(count * Layout.Row, _ => (random.NextSingle() * 2) - 1), ModelFixture.Pinned(Layout.Context.Count, _ => random.NextSingle()));
    }

    private Task<float[]> ScoreAsync(UserEncoding user, float[] rows, int count, float[] context) => ModelFixture.ScoreAsync(_model, user, rows, count, context);
}
