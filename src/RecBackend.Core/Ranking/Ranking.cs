namespace RecBackend.Core.Ranking;

/// <summary>What answered a ranking.</summary>
public enum RankingMode
{
    /// <summary>The model.</summary>
    Model,

    /// <summary>Smoothed click rate and recency; <see cref="Ranking.Reason"/> says why.</summary>
    Fallback,
}

/// <summary>Why the fallback answered.</summary>
public enum FallbackReason
{
    /// <summary>The model answered.</summary>
    None,

    /// <summary>No bundle is active.</summary>
    NoModel,

    /// <summary>The scorer's queue is full.</summary>
    Overloaded,

    /// <summary>The deadline passed.</summary>
    DeadlineExceeded,

    /// <summary>The user's state cannot be read.</summary>
    UserUnavailable,
}

/// <summary>One ranked candidate.</summary>
/// <param name="Candidate">Place in <see cref="RankRequest.Candidates"/>.</param>
/// <param name="Score">Probability of a click; in fallback mode the smoothed rate.</param>
/// <param name="Cold">Whether the model was trained without this item's ID.</param>
public readonly record struct RankedItem(int Candidate, float Score, bool Cold);

/// <summary>How long the stages of a ranking took, in ticks of the clock that the pipeline was given. The parts add up to <paramref name="Total"/> but for the selection of the best.</summary>
/// <param name="Wait">Waiting for a thread to run on.</param>
/// <param name="UserRead">Reading the user, as far as that is not done while candidates are looked up, and, where needed, encoding it.</param>
/// <param name="Gather">Look-up of candidates and copy of rows.</param>
/// <param name="Run">Waiting for a session and running the ranker.</param>
/// <param name="Total">All, the selection of the best included.</param>
/// <param name="SessionWait">What of <paramref name="Run"/> was waiting.</param>
public readonly record struct StageTimes(TimeSpan Wait, TimeSpan UserRead, TimeSpan Gather, TimeSpan Run, TimeSpan Total, TimeSpan SessionWait);

/// <summary>The answer to a <see cref="RankRequest"/>. Pooled: dispose it after the response is written, and before the request is cleared.</summary>
public abstract class Ranking : IDisposable
{
    /// <summary>Version of the bundle that scored, or null in a fallback without one.</summary>
    public abstract string? Model { get; }

    /// <summary>What answered.</summary>
    public abstract RankingMode Mode { get; }

    /// <summary>Why the fallback answered.</summary>
    public abstract FallbackReason Reason { get; }

    /// <summary>The best <see cref="RankRequest.Limit"/> candidates by falling score, ties in the request's order.</summary>
    public abstract ReadOnlySpan<RankedItem> Items { get; }

    /// <summary>Places of candidates that the catalogue does not have, in the request's order.</summary>
    public abstract ReadOnlySpan<int> Unknown { get; }

    /// <summary>Places of candidates whose rows this host lacked and read for this ranking.</summary>
    public virtual IReadOnlyList<int> Fetched => [];

    /// <summary>The statistics of a ranked candidate as the model read them, in the layout's order; for <c>explain</c>.</summary>
    public abstract ReadOnlySpan<float> Statistics(in RankedItem item);

    /// <summary>Stage times.</summary>
    public abstract StageTimes Times { get; }

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>The one way in which a request becomes a ranking.</summary>
public interface IRanker
{
    /// <summary>Ranks.</summary>
    /// <exception cref="Models.BundleRefusedException"><c>bundle_unknown</c>: the request names a bundle that is not loaded.</exception>
    ValueTask<Ranking> RankAsync(RankRequest request, CancellationToken cancellation);
}
