using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;

namespace RecBackend.Core.Tests.Items;

public sealed class ItemWriterTests : IAsyncDisposable
{
    private static readonly CancellationToken None = CancellationToken.None;
    private readonly FakeModel _model = new(1);
    private readonly InMemoryEngine _engine = new(TimeProvider.System);
    private readonly ModelDirectory _models;
    private readonly ItemWriter _writer;

    public ItemWriterTests()
    {
        _models = new(new FakeBundleStore().Add(_model), _engine, _engine, new());
        _writer = new(_engine, _models, new() { Title = 10, Text = 20, Categories = 2, Tags = 2, Attributes = 1, Label = 5, Image = 3, ImageFeatures = 2 });
    }

    public static TheoryData<string, ItemContent> Bad => new()
    {
        { "title_too_long", new() { Title = "12345678901" } },
        { "text_too_long", new() { Title = "1", Text = new string('x', 21) } },
        { "too_many_categories", new() { Categories = ["a", "b", "c"] } },
        { "too_many_tags", new() { Tags = ["a", "b", "c"] } },
        { "too_many_attributes", new() { Attributes = new Dictionary<string, string> { ["a"] = "1", ["b"] = "2" } } },
        { "label_invalid", new() { Tags = ["123456"] } },
        { "label_invalid", new() { Categories = [""] } },
        { "text_invalid", new() { Title = "1", Text = "half \ud83d" } },
        { "text_invalid", new() { Tags = ["\udc00"] } },
        { "image_too_large", new() { Image = [1, 2, 3, 4] } },
        { "image_features_too_long", new() { ImageFeatures = [1, 2, 3] } },
        { "image_features_not_finite", new() { ImageFeatures = [1, float.NaN] } },
        { "image_invalid", new() { Image = [1] } },
    };

    [Theory, MemberData(nameof(Bad))]
    public async Task Bad_content_is_refused_by_code_and_the_others_are_stored(string code, ItemContent bad)
    {
        await ActivateAsync();
        var receipt = await _writer.UpsertAsync([new("a", new() { Title = "1" }), new("bad", bad), new("b", new() { Title = "2" })], None);

        var rejected = Assert.Single(receipt.Rejected);
        Assert.Equal((2, 1, code), (receipt.Stored, rejected.Index, rejected.Code));
        Assert.NotNull(await _engine.GetAsync("b", None));
        Assert.Null(await _engine.GetAsync("bad", None));
    }

    [Fact]
    public async Task Bad_id_is_refused()
    {
        var receipt = await _writer.UpsertAsync([new("", new()), new("a\u0007", new()), new(new string('x', 129), new())], None);
        Assert.Equal(["item_id_invalid", "item_id_invalid", "item_id_invalid"], receipt.Rejected.Select(entry => entry.Code));
    }

    [Fact]
    public async Task Large_batch_is_stored_with_representations_and_bad_lines_by_number()
    {
        await ActivateAsync();
        var writes = Enumerable.Range(0, 100).Select(i => new ItemWrite($"item {i}", new() { Title = i % 25 == 7 ? new string('x', 11) : $"{i}" })).ToArray();

        var receipt = await _writer.UpsertAsync(writes, None);

        Assert.Equal([7, 32, 57, 82], receipt.Rejected.Select(entry => entry.Index));
        Assert.Equal((96, 96), (receipt.Stored, _models.Status.Items));
        Assert.Equal((float[])[1, 99, 99, 99], await ValuesAsync("item 99"));
    }

    [Fact]
    public async Task Same_id_twice_leaves_the_later_one()
    {
        await ActivateAsync();
        await _writer.UpsertAsync([new("a", new() { Title = "1" }), new("a", new() { Title = "2" })], None);
        Assert.Equal(2, (await ValuesAsync("a"))[1]);
    }

    [Fact]
    public async Task Without_a_bundle_items_are_stored_and_encoded_by_the_activation()
    {
        await _models.StartAsync(new(), None);
        await _writer.UpsertAsync([new("a", new() { Title = "5" })], None);
        Assert.Empty((await _engine.GetAsync("a", None))!.Representations);
        await _models.ActivateAsync("bundle-1", new(), None);
        Assert.Equal(5, (await ValuesAsync("a"))[1]);
    }

    [Fact]
    public async Task Representation_from_outside_is_checked_and_used()
    {
        await ActivateAsync();
        await _writer.UpsertAsync([new("a", new() { Title = "1" }), new("b", new() { Title = "2" })], None);

        var receipt = await _writer.SetEmbeddingsAsync(
            [
                new("nobody", null, [1, 2, 3, 4]),
                new("a", null, [1, 2, 3]),
                new("a", null, [1, float.PositiveInfinity, 3, 4]),
                new("a", "bundle-9", [1, 2, 3, 4]),
                new("", null, [1, 2, 3, 4]),
                new("a", "bundle-1", [9, 8, 7, 6]),
            ],
            None);

        Assert.Equal(
            [(0, "item_unknown"), (1, "embedding_length"), (2, "embedding_not_finite"), (3, "embedding_bundle"), (4, "item_id_invalid")],
            receipt.Rejected.Select(entry => (entry.Index, entry.Code)));
        Assert.Equal(1, receipt.Stored);
        using var lease = _models.Lease();
        var vectors = new float[lease.Catalog.VectorWidth];
        Assert.True(lease.Catalog.TryGetRow("a"u8, vectors));
        Assert.Equal([9, 8, 7, 6], vectors[2..]);

        await _writer.UpsertAsync([new("a", new() { Title = "3" })], None);
        Assert.Equal((float[])[9, 8, 7, 6], await ValuesAsync("a"));
    }

    [Fact]
    public async Task Without_a_bundle_representations_are_refused()
    {
        await _models.StartAsync(new(), None);
        var receipt = await _writer.SetEmbeddingsAsync([new("a", null, [1])], None);
        Assert.Equal("embedding_bundle", Assert.Single(receipt.Rejected).Code);
    }

    [Fact]
    public async Task Warm_up_of_listed_items_encodes_them_again_but_leaves_those_from_outside()
    {
        await ActivateAsync();
        await _writer.UpsertAsync([new("a", new() { Title = "1" }), new("b", new() { Title = "2" })], None);
        await _writer.SetEmbeddingsAsync([new("b", null, [9, 9, 9, 9])], None);
        var (progress, before) = (new JobProgress(), _model.ItemEncodings);

        await _writer.WarmAsync(["a", "b", "nobody"], progress, None);

        Assert.Equal((3, 3, 1), (progress.Done, progress.Total, progress.ErrorCount));
        Assert.Equal("item_unknown", progress.Errors[0].Code);
        Assert.Equal(before + 1, _model.ItemEncodings);
        Assert.Equal((float[])[9, 9, 9, 9], await ValuesAsync("b"));
    }

    [Fact]
    public async Task Warm_up_of_all_encodes_only_what_lacks_a_representation()
    {
        await ActivateAsync();
        await _writer.UpsertAsync([new("a", new() { Title = "1" })], None);
        var before = _model.ItemEncodings;
        var progress = new JobProgress();

        await _writer.WarmAsync(null, progress, None);

        Assert.Equal((1, before), (progress.Done, _model.ItemEncodings));
    }

    [Fact]
    public async Task Warm_up_without_a_bundle_is_refused()
    {
        await _models.StartAsync(new(), None);
        var refusal = await Assert.ThrowsAsync<OperationRefusedException>(() => _writer.WarmAsync(null, new(), None));
        Assert.Equal("no_active_bundle", refusal.Code);
    }

    public async ValueTask DisposeAsync() => await _models.DisposeAsync();

    private async Task<float[]> ValuesAsync(string id) => (await _engine.GetAsync(id, None))!.RepresentationFor("bundle-1")!.Values;

    private async Task ActivateAsync()
    {
        await _models.StartAsync(new(), None);
        await _models.ActivateAsync("bundle-1", new(), None);
    }
}
