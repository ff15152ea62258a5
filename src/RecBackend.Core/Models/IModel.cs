using RecBackend.Core.Items;

namespace RecBackend.Core.Models;

/// <summary>Port: one loaded and verified bundle. Thread-safe. Implemented with ONNX Runtime in RecBackend.Scoring.</summary>
public interface IModel : IAsyncDisposable
{
    /// <summary>Sizes and feature order.</summary>
    ModelLayout Layout { get; }

    /// <summary>Writes the item's ID embedding, or the trained unknown vector.</summary>
    /// <param name="id">The item's ID in UTF-8.</param>
    /// <param name="destination">[dId] floats.</param>
    /// <returns>Whether training knew the item; an item that it did not know is cold.</returns>
    bool TryGetItemEmbedding(ReadOnlySpan<byte> id, Span<float> destination);

    /// <summary>Writes the user's ID embedding, or the trained unknown vector.</summary>
    /// <returns>Whether training knew the user.</returns>
    bool TryGetUserEmbedding(string id, Span<float> destination);

    /// <summary>
    /// Checks that the item encoder can read <paramref name="content"/>: image decodable, image features of the right length and finite, text valid Unicode.
    /// </summary>
    /// <param name="content">The content.</param>
    /// <param name="cancellation">Gives up the wait: pictures are decoded a few at a time, since one may take much memory.</param>
    /// <returns>Null, or the reason as a stable code and words.</returns>
    ValueTask<ContentProblem?> CheckAsync(ItemContent content, CancellationToken cancellation);

    /// <summary>Runs the item encoder.</summary>
    /// <param name="items">n contents, each of which passes <see cref="CheckAsync"/>.</param>
    /// <param name="representations">[n, dRep] floats, row-major.</param>
    /// <param name="urgency">Whether somebody waits for it. Rankings go before both.</param>
    /// <param name="cancellation">Stops between batches.</param>
    ValueTask EncodeItemsAsync(IReadOnlyList<ItemContent> items, Memory<float> representations, EncodingUrgency urgency, CancellationToken cancellation);

    /// <summary>Runs the user encoder.</summary>
    /// <param name="features">What it reads; layouts as the bundle says.</param>
    /// <param name="userVersion">The user version that the features are of; the encoding carries it.</param>
    /// <param name="cancellation">Gives up the wait for a free session.</param>
    /// <exception cref="ScoringRejectedException">No session came free in time.</exception>
    ValueTask<UserEncoding> EncodeUserAsync(UserFeatures features, long userVersion, CancellationToken cancellation);

    /// <summary>Scores candidates for one user.</summary>
    /// <param name="user">An encoding of this bundle.</param>
    /// <param name="rows">[N, dRow] floats in pinned memory, row-major; not to be touched until the call completes.</param>
    /// <param name="count">N, at least 1.</param>
    /// <param name="context">[C] floats in pinned memory.</param>
    /// <param name="scores">N floats in pinned memory: click probabilities, in the rows' order.</param>
    /// <param name="deadline">A request that would start after it is not run.</param>
    /// <param name="cancellation">Gives up the wait for a free session.</param>
    /// <returns>How long the run itself took, without the wait for it.</returns>
    /// <exception cref="ScoringRejectedException">The queue is full, or the deadline passed, or is expected to pass before there is a session.</exception>
    ValueTask<TimeSpan> ScoreAsync(
        UserEncoding user, float[] rows, int count, float[] context, float[] scores, Deadline deadline, CancellationToken cancellation);
}

/// <summary>For whom items are encoded.</summary>
public enum EncodingUrgency
{
    /// <summary>A caller that writes items.</summary>
    Ingest,

    /// <summary>Bulk work: a warm job, a bundle that is prepared, items that were left for later. It goes on while callers write, more slowly.</summary>
    Warm,
}

/// <summary>Inputs of the user encoder, [1, …] each; all arrays pinned and of the layout's sizes. Pooled by the caller.</summary>
public sealed class UserFeatures
{
    /// <summary>Allocates the arrays for <paramref name="layout"/>.</summary>
    public UserFeatures(ModelLayout layout)
    {
        UserEmbedding = GC.AllocateArray<float>(layout.UserId, pinned: true);
        Profile = GC.AllocateArray<long>(layout.Profile.Count, pinned: true);
        UserStatistics = GC.AllocateArray<float>(layout.UserStatistics.Count, pinned: true);
        History = GC.AllocateArray<float>(layout.History * (layout.ItemId + layout.Representation), pinned: true);
        Actions = GC.AllocateArray<long>(layout.History, pinned: true);
        Intervals = GC.AllocateArray<float>(layout.History, pinned: true);
        Mask = GC.AllocateArray<float>(layout.History, pinned: true);
    }

    /// <summary>[dUser].</summary>
    public float[] UserEmbedding { get; }

    /// <summary>[P] vocabulary IDs.</summary>
    public long[] Profile { get; }

    /// <summary>[dUs].</summary>
    public float[] UserStatistics { get; }

    /// <summary>[L, dId + dRep], newest first.</summary>
    public float[] History { get; }

    /// <summary>[L].</summary>
    public long[] Actions { get; }

    /// <summary>[L].</summary>
    public float[] Intervals { get; }

    /// <summary>[L].</summary>
    public float[] Mask { get; }
}

/// <summary>Why content cannot be read by an item encoder.</summary>
/// <param name="Code">Stable: <c>image_invalid</c>, <c>image_unsupported</c>, <c>image_features_length</c>, <c>image_features_not_finite</c>, <c>text_invalid</c>.</param>
/// <param name="Detail">What was wrong and what to do.</param>
public sealed record ContentProblem(string Code, string Detail);

/// <summary>Why a request was not scored.</summary>
public enum ScoringRejection
{
    /// <summary>The admission queue is full.</summary>
    Overloaded,

    /// <summary>The deadline passed before a session was free.</summary>
    DeadlineExceeded,
}

/// <summary>A request was refused before it ran; the caller answers with the fallback ranking.</summary>
public sealed class ScoringRejectedException(ScoringRejection reason) : Exception($"The request was not scored: {reason}.")
{
    /// <summary>Why.</summary>
    public ScoringRejection Reason { get; } = reason;
}

/// <summary>A moment on the monotonic clock of a <see cref="TimeProvider"/>, after which an answer is of no use.</summary>
public readonly record struct Deadline(long Timestamp)
{
    /// <summary>No deadline.</summary>
    public static Deadline None { get; } = new(long.MaxValue);

    /// <summary>The moment <paramref name="time"/> from now.</summary>
    public static Deadline After(TimeSpan time, TimeProvider clock) =>
        new(clock.GetTimestamp() + (long)(time.TotalSeconds * clock.TimestampFrequency));

    /// <summary>Whether it has passed.</summary>
    public bool HasPassed(TimeProvider clock) => Timestamp != long.MaxValue && clock.GetTimestamp() >= Timestamp;

    /// <summary>What is left, at least zero; <see cref="Timeout.InfiniteTimeSpan"/> without a deadline.</summary>
    public TimeSpan Left(TimeProvider clock)
    {
        if (Timestamp == long.MaxValue)
        {
            return Timeout.InfiniteTimeSpan;
        }

        var ticks = Timestamp - clock.GetTimestamp();
        return ticks <= 0 ? TimeSpan.Zero : TimeSpan.FromSeconds((double)ticks / clock.TimestampFrequency);
    }
}
