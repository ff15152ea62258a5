using RecBackend.Core.Items;
using RecBackend.Core.Models;

namespace RecBackend.Bench.Rank;

/// <summary>Passes everything on to the models of a store, and keeps what <see cref="IModel.ScoreAsync"/> was given while <see cref="Recorded"/> is set.</summary>
internal sealed class RecordingBundleStore(IBundleStore inner) : IBundleStore
{
    /// <summary>Where tensors go, or null outside of recording.</summary>
    public List<RankTensors>? Recorded { get; set; }

    public async ValueTask<IModel> LoadAsync(string version, CancellationToken cancellation) => new Model(await inner.LoadAsync(version, cancellation), this);

    public IReadOnlyList<BundleSummary> List() => inner.List();

    public ValueTask<BundleSummary> AddAsync(Stream zip, CancellationToken cancellation) => inner.AddAsync(zip, cancellation);

    public ActiveVersions ReadActive() => inner.ReadActive();

    public void WriteActive(ActiveVersions versions) => inner.WriteActive(versions);

    private sealed class Model(IModel inner, RecordingBundleStore store) : IModel
    {
        public ModelLayout Layout => inner.Layout;

        public bool TryGetItemEmbedding(ReadOnlySpan<byte> id, Span<float> destination) => inner.TryGetItemEmbedding(id, destination);

        public bool TryGetUserEmbedding(string id, Span<float> destination) => inner.TryGetUserEmbedding(id, destination);

        public ValueTask<ContentProblem?> CheckAsync(ItemContent content, CancellationToken cancellation) => inner.CheckAsync(content, cancellation);

        public ValueTask EncodeItemsAsync(IReadOnlyList<ItemContent> items, Memory<float> representations, EncodingUrgency urgency, CancellationToken cancellation) =>
            inner.EncodeItemsAsync(items, representations, urgency, cancellation);

        public ValueTask<UserEncoding> EncodeUserAsync(UserFeatures features, long userVersion, CancellationToken cancellation) =>
            inner.EncodeUserAsync(features, userVersion, cancellation);

        public ValueTask<TimeSpan> ScoreAsync(
            UserEncoding user, float[] rows, int count, float[] context, float[] scores, Deadline deadline, CancellationToken cancellation) =>
            store.Recorded is { } recorded
                ? ScoreAndRecordAsync(recorded, user, rows, count, context, scores, deadline, cancellation)
                : inner.ScoreAsync(user, rows, count, context, scores, deadline, cancellation);

        public ValueTask DisposeAsync() => inner.DisposeAsync();

        private async ValueTask<TimeSpan> ScoreAndRecordAsync(
            List<RankTensors> recorded, UserEncoding user, float[] rows, int count, float[] context, float[] scores, Deadline deadline, CancellationToken cancellation)
        {
            var ran = await inner.ScoreAsync(user, rows, count, context, scores, deadline, cancellation);
            recorded.Add(new RankTensors(
                user.UserState, user.HistoryState, rows[..(count * Layout.Row)], context[..Layout.Context.Count], scores[..count]));
            return ran;
        }
    }
}
