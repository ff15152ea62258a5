using System.Text;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Core.Tests;

/// <summary>
/// A model whose numbers say where they come from: each representation and each encoding begins with the bundle's number, so that a mix of bundles is seen.
/// The score of an item is the bundle's number plus the number in the item's title, over 1,000.
/// </summary>
internal sealed class FakeModel(int number) : IModel
{
    private int _scoring;

    public int Number => number;

    public ModelLayout Layout { get; init; } = LayoutOf($"bundle-{number}");

    /// <summary>Items whose ID begins with it are known to training.</summary>
    public string KnownItems { get; init; } = "known";

    public bool Asynchronous { get; init; }

    public ScoringRejection? Rejects { get; set; }

    public bool Disposed { get; private set; }

    public bool DisposedWhileScoring { get; private set; }

    public int UserEncodings { get; private set; }

    public int ItemEncodings { get; private set; }

    public bool Mixed { get; private set; }

    /// <summary>What the user encoder waits for.</summary>
    public Task UserGate { get; set; } = Task.CompletedTask;

    /// <summary>What the item encoder waits for.</summary>
    public Task ItemGate { get; set; } = Task.CompletedTask;

    /// <summary>Title that the item encoder breaks on.</summary>
    public string? Fails { get; set; }

    /// <summary>What the ranker is given, if anyone wants to see.</summary>
    public Action<float[], float[], int>? OnScore { get; set; }

    public static ModelLayout LayoutOf(string version) => new()
    {
        Version = version,
        Recipe = "fake",
        ItemId = 2,
        Representation = 4,
        UserId = 2,
        History = 3,
        UserState = 2,
        HistoryState = 1,
        Statistics = [new(StatisticKind.Impressions), new(StatisticKind.ClickRate, 0.5, 10), new(StatisticKind.Age)],
        UserStatistics = [new(StatisticKind.Impressions)],
        Profile = [new("gender", ["F", "M"])],
        Actions = [InteractionEvent.Click],
        Context = ["since_last_event"],
        FallbackPrior = 0.5,
        FallbackStrength = 10,
    };

    public bool TryGetItemEmbedding(ReadOnlySpan<byte> id, Span<float> destination)
    {
        var known = Encoding.UTF8.GetString(id).StartsWith(KnownItems, StringComparison.Ordinal);
        destination.Fill(known ? 1 : 0);
        return known;
    }

    public bool TryGetUserEmbedding(string id, Span<float> destination)
    {
        destination.Fill(id.Length);
        return id.StartsWith("trained", StringComparison.Ordinal);
    }

    public ValueTask<ContentProblem?> CheckAsync(ItemContent content, CancellationToken cancellation) =>
        new(content.Image is null ? null : new ContentProblem("image_invalid", "This model has never seen a picture."));

    public async ValueTask EncodeItemsAsync(IReadOnlyList<ItemContent> items, Memory<float> representations, EncodingUrgency urgency, CancellationToken cancellation)
    {
        await Task.Yield();
        await ItemGate.WaitAsync(cancellation);
        cancellation.ThrowIfCancellationRequested();
        if (Fails is not null && items.Any(item => item.Title == Fails))
        {
            throw new InvalidOperationException($"Broken by {Fails}.");
        }

        for (var i = 0; i < items.Count; i++)
        {
            var row = representations.Span.Slice(i * Layout.Representation, Layout.Representation);
            row.Fill(NumberIn(items[i].Title));
            row[0] = number;
        }

        ItemEncodings += items.Count;
    }

    public async ValueTask<UserEncoding> EncodeUserAsync(UserFeatures features, long userVersion, CancellationToken cancellation)
    {
        await UserGate.WaitAsync(cancellation);
        UserEncodings++;
        var state = GC.AllocateArray<float>(Layout.UserState, pinned: true);
        state[0] = number;
        return new(Layout.Version, userVersion, state, GC.AllocateArray<float>(Layout.History * Layout.HistoryState, pinned: true));
    }

    public ValueTask<TimeSpan> ScoreAsync(
        UserEncoding user, float[] rows, int count, float[] context, float[] scores, Deadline deadline, CancellationToken cancellation)
    {
        if (Rejects is { } reason)
        {
            throw new ScoringRejectedException(reason);
        }

        if (Asynchronous)
        {
            return ScoreLaterAsync(user, rows, count, context, scores);
        }

        Score(user, rows, count, context, scores);
        return new(TimeSpan.Zero);
    }

    public ValueTask DisposeAsync()
    {
        DisposedWhileScoring |= Volatile.Read(ref _scoring) > 0;
        Disposed = true;
        return ValueTask.CompletedTask;
    }

    private static float NumberIn(string? title) => float.Parse(title ?? "0", System.Globalization.CultureInfo.InvariantCulture);

    private async ValueTask<TimeSpan> ScoreLaterAsync(UserEncoding user, float[] rows, int count, float[] context, float[] scores)
    {
        await Task.Yield();
        Score(user, rows, count, context, scores);
        return TimeSpan.Zero;
    }

    private void Score(UserEncoding user, float[] rows, int count, float[] context, float[] scores)
    {
        Interlocked.Increment(ref _scoring);
        Mixed |= user.Bundle != Layout.Version || user.UserState[0] != number;
        for (var i = 0; i < count; i++)
        {
            var representation = rows.AsSpan(i * Layout.Row + Layout.ItemId, Layout.Representation);
            Mixed |= representation[0] != number;
            scores[i] = representation[0] + representation[1] / 1000;
        }

        OnScore?.Invoke(rows, context, count);
        Mixed |= Disposed;
        Interlocked.Decrement(ref _scoring);
    }
}

/// <summary>Bundles that exist because a test says so.</summary>
internal sealed class FakeBundleStore : IBundleStore
{
    public Dictionary<string, Func<IModel>> Bundles { get; } = [];

    public ActiveVersions Active { get; set; } = new(null, null);

    public FakeBundleStore Add(FakeModel model)
    {
        Bundles[model.Layout.Version] = () => model;
        return this;
    }

    public IReadOnlyList<BundleSummary> List() => [];

    public ValueTask<BundleSummary> AddAsync(Stream zip, CancellationToken cancellation) => throw new NotSupportedException();

    public ValueTask<IModel> LoadAsync(string version, CancellationToken cancellation) =>
        Bundles.TryGetValue(version, out var load) ? new(load()) : throw new BundleRefusedException("bundle_unknown", $"There is no bundle '{version}'.");

    public ActiveVersions ReadActive() => Active;

    public void WriteActive(ActiveVersions versions) => Active = versions;
}
