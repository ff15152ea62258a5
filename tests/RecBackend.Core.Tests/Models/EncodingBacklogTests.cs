using RecBackend.Core.Items;
using RecBackend.Core.Models;

namespace RecBackend.Core.Tests.Models;

/// <summary>Who encodes what for the model before the active one, where several hosts keep both.</summary>
public sealed class EncodingBacklogTests : IAsyncDisposable
{
    private readonly FakeModel _active = new(1);
    private readonly FakeModel _previous = new(2);
    private readonly InMemoryEngine _engine = new(TimeProvider.System);
    private readonly ManualTime _clock = new();
    private readonly Duty _duty = new();
    private readonly ModelDirectory _models;
    private readonly ItemWriter _writer;

    public EncodingBacklogTests()
    {
        var bundles = new FakeBundleStore { Active = new("bundle-1", "bundle-2") }.Add(_active).Add(_previous);
        _models = new(bundles, _engine, _engine, new(), clock: _clock, duty: _duty);
        _writer = new(_engine, _models, new());
    }

    [Fact]
    public async Task Item_of_this_host_is_encoded_for_the_previous_model_at_once()
    {
        await _models.StartAsync(new(), default);
        await StoreAsync("mine");
        await UntilAsync(async () => (await _engine.GetAsync("mine", default))!.RepresentationFor("bundle-2") is not null);
    }

    [Fact]
    public async Task Item_of_another_host_is_left_to_it()
    {
        await _models.StartAsync(new(), default);
        _duty.Others.Add("other");
        await StoreAsync("other");
        var read = (await _engine.GetAsync("other", default))!;
        await _engine.SetRepresentationsAsync([new("other", new("bundle-2", [2, 5], RepresentationSource.Computed), read.Version)], default);
        var encoded = _previous.ItemEncodings;

        _clock.Advance(EncodingBacklog.Patience);
        await StoreAsync("mine");
        await UntilAsync(async () => (await _engine.GetAsync("mine", default))!.RepresentationFor("bundle-2") is not null);
        Assert.Equal(encoded + 1, _previous.ItemEncodings);
    }

    [Fact]
    public async Task Item_whose_host_does_nothing_is_encoded_after_a_while()
    {
        await _models.StartAsync(new(), default);
        _duty.Others.Add("other");
        await StoreAsync("other");
        await StoreAsync("mine");
        await UntilAsync(async () => (await _engine.GetAsync("mine", default))!.RepresentationFor("bundle-2") is not null);
        Assert.Null((await _engine.GetAsync("other", default))!.RepresentationFor("bundle-2"));

        // Nothing comes but the time: whoever waits for it may begin to wait only after some has passed.
        await UntilAsync(async () =>
        {
            _clock.Advance(EncodingBacklog.Patience);
            return (await _engine.GetAsync("other", default))!.RepresentationFor("bundle-2") is not null;
        });
    }

    [Fact]
    public async Task Rollback_waits_for_no_other_host()
    {
        await _models.StartAsync(new(), default);
        _duty.Others.Add("other");
        await StoreAsync("other");
        await _models.RollbackAsync("bundle-1", new(), default);
        Assert.NotNull((await _engine.GetAsync("other", default))!.RepresentationFor("bundle-2"));
    }

    public async ValueTask DisposeAsync() => await _models.DisposeAsync();

    private async Task StoreAsync(string id) => await _writer.UpsertAsync([new(id, new ItemContent { Title = "5" })], default);

    private static async Task UntilAsync(Func<Task<bool>> done)
    {
        for (var tries = 0; !await done(); tries++)
        {
            Assert.InRange(tries, 0, 3_000);
            await Task.Delay(10);
        }
    }

    private sealed class Duty : IEncodingDuty
    {
        public HashSet<string> Others { get; } = [];

        public bool IsMine(string item) => !Others.Contains(item);
    }
}
