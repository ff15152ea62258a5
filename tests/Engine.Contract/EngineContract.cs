using RecBackend.Core.Items;
using RecBackend.Core.Users;

namespace RecBackend.Engine.Contract;

/// <summary>What every part of the contract starts from: an engine with an empty state.</summary>
public abstract class EngineContract : IAsyncLifetime
{
    private IEngineFixture _fixture = null!;

    protected EnginePorts Engine { get; private set; } = null!;

    protected IUserDirectory Users => Engine.Users;

    protected IItemDirectory Items => Engine.Items;

    protected ManualClock Clock => _fixture.Clock;

    public async Task InitializeAsync()
    {
        _fixture = CreateFixture();
        Engine = await _fixture.StartAsync();
    }

    public async Task DisposeAsync() => await _fixture.DisposeAsync();

    protected abstract IEngineFixture CreateFixture();

    protected async Task ReopenAsync() => Engine = await _fixture.ReopenAsync();

    protected ValueTask SettleAsync() => _fixture.SettleAsync();

    protected async Task CrashAsync() => Engine = await _fixture.CrashAsync();

    protected static ItemContent Content(string title) => new()
    {
        Title = title,
        Text = $"Text of {title} 🎬 映画",
        Categories = ["Drama", "Comedy"],
        Tags = ["tag"],
        Attributes = new Dictionary<string, string> { ["year"] = "1999" },
    };

    protected static Representation Computed(string bundle, params float[] values) => new(bundle, values, RepresentationSource.Computed);

    protected static Representation External(string bundle, params float[] values) => new(bundle, values, RepresentationSource.External);

    protected static InteractionEvent Click(string id, string user, string item, long timestamp = 1_000) =>
        new(id, InteractionEvent.Click, user, item, timestamp, null);

    protected static InteractionEvent Impression(string id, string user, string item, long timestamp = 1_000) =>
        new(id, InteractionEvent.Impression, user, item, timestamp, null);

    protected async Task<long> PutAsync(string id, Representation? representation = null) =>
        (await Items.UpsertAsync([new(id, Content(id), representation)], default))[0];

    protected async Task PutAsync(IEnumerable<string> ids) =>
        await Items.UpsertAsync([.. ids.Select(id => new ItemUpsert(id, Content(id), null))], default);

    protected async Task<EventReceipt> AppendAsync(params InteractionEvent[] events)
    {
        var receipt = await Users.AppendAsync(events, default);
        await SettleAsync();
        return receipt;
    }

    protected async Task<UserSnapshot> UserAsync(string id) => await Users.GetAsync(id, default);

    protected async Task<ItemRecord> ItemAsync(string id)
    {
        var item = await Items.GetAsync(id, default);
        Assert.NotNull(item);
        return item;
    }

    protected static void AssertReceipt(EventReceipt receipt, int accepted = 0, int duplicates = 0, params (int Index, string Code)[] rejected)
    {
        Assert.Equal(accepted, receipt.Accepted);
        Assert.Equal(duplicates, receipt.Duplicates);
        Assert.Equal(rejected, receipt.Rejected.Select(entry => (entry.Index, entry.Code)));
    }
}
