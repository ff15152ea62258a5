using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Text;
using RecBackend.Core.Features;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Core.Users;

namespace RecBackend.Core.Ranking;

/// <summary>
/// The one way in which a request becomes a ranking: ask for the user, gather the candidates' rows meanwhile, run the model, take the best.
/// Where the model cannot answer, the fallback does, by the candidates' smoothed click rates.
/// </summary>
public sealed class RankingPipeline : IRanker
{
    private readonly ModelDirectory _models;
    private readonly IUserDirectory _users;
    private readonly TimeProvider _clock;
    private readonly UserEncoder _encoder;
    private readonly IMissingItems? _missing;
    private readonly RankLanes? _lanes;

    // A thread gets back what it used last, while that is still near its processor.
    private readonly ConcurrentBag<PooledRanking> _pool = [];

    /// <summary>Ranks with the models of <paramref name="models"/> for the users of <paramref name="users"/>.</summary>
    /// <param name="models">The loaded models.</param>
    /// <param name="users">Where users are read.</param>
    /// <param name="clock">Of deadlines, of ages and of stage times.</param>
    /// <param name="missing">Where candidates without a row may be found, if anywhere.</param>
    /// <param name="lanes">Threads that a ranking goes on on when it has waited for something; null: it goes on wherever that came.</param>
    public RankingPipeline(ModelDirectory models, IUserDirectory users, TimeProvider clock, IMissingItems? missing = null, RankLanes? lanes = null)
    {
        _missing = missing;
        _lanes = lanes;
        _models = models;
        _users = users;
        _clock = clock;
        _encoder = new(users, clock);
        models.WarmUp = WarmUpAsync;
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Ranking> RankAsync(RankRequest request, CancellationToken cancellation)
    {
        using var activity = Telemetry.Source.StartActivity("rank");
        using var lease = request.Model is { } version ? _models.Lease(version) : _models.Lease();
        var ranking = await RankAsync(lease, request, cancellation);
        Telemetry.Ranked(ranking, activity);
        return ranking;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<PooledRanking> RankAsync(ModelLease lease, RankRequest request, CancellationToken cancellation)
    {
        var ranking = _pool.TryTake(out var pooled) ? pooled : new PooledRanking(_pool, _clock);
        try
        {
            var time = request.Timestamp ?? _clock.GetUtcNow().ToUnixTimeMilliseconds();
            ranking.Begin(lease.Serving?.Layout, request.Waited);

            // A user who is elsewhere comes while the rows are gathered.
            var reason = await GatherAndScoreAsync(lease, AskForUserAsync(lease.Serving, request, cancellation), request, time, ranking, cancellation);
            ranking.TakeBest(request.Limit, reason);
            return ranking;
        }
        catch
        {
            ranking.Dispose();
            throw;
        }
    }

    /// <returns>None, or why there are no scores.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<FallbackReason> GatherAndScoreAsync(
        ModelLease lease, ValueTask<UserSnapshot> user, RankRequest request, long time, PooledRanking ranking, CancellationToken cancellation)
    {
        ranking.MarkUserAsked();
        lease.Catalog.Gather(request.Candidates, time, ranking.Candidates);
        if (_missing is not null && !ranking.Candidates.Unknown.IsEmpty)
        {
            await BringMissingAsync(_missing, lease, request, time, ranking, cancellation);
        }

        ranking.MarkGathered();

        // The rows come first: whatever stops the model from answering, the fallback has what it needs.
        return await TryScoreAsync(lease.Serving, user, request, time, ranking, cancellation);
    }

    /// <summary>Candidates without a row may be items that this host was not told of.</summary>
    private async ValueTask BringMissingAsync(IMissingItems missing, ModelLease lease, RankRequest request, long time, PooledRanking ranking, CancellationToken cancellation)
    {
        int[] unknown = [.. ranking.Candidates.Unknown];
        var bringing = missing.BringAsync(Array.ConvertAll(unknown, place => Encoding.UTF8.GetString(request.Candidates[place])), cancellation);
        if (await OnLaneAsync(bringing, request.Deadline, ranking, cancellation))
        {
            lease.Catalog.Gather(request.Candidates, time, ranking.Candidates);
            ranking.MarkFetched(unknown);
        }
    }

    /// <summary>Ranks once with a model that does not answer yet: compiling this code and the first runs of the graphs take a hundred times as long as a ranking, and no caller should wait for them.</summary>
    private async Task WarmUpAsync(ServingModel serving, RankRequest request, CancellationToken cancellation)
    {
        if (serving.TryHold())
        {
            using var lease = new ModelLease(serving);
            (await RankAsync(lease, request, cancellation)).Dispose();
        }
    }

    /// <summary>Scores the gathered candidates.</summary>
    /// <param name="serving">The model, if there is one.</param>
    /// <param name="reading">The user, who has been asked for.</param>
    /// <param name="request">The request.</param>
    /// <param name="time">Unix milliseconds that features refer to.</param>
    /// <param name="ranking">Has the rows, and takes the scores.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>None, or why there are no scores.</returns>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<FallbackReason> TryScoreAsync(
        ServingModel? serving, ValueTask<UserSnapshot> reading, RankRequest request, long time, PooledRanking ranking, CancellationToken cancellation)
    {
        if (serving is null)
        {
            return FallbackReason.NoModel;
        }

        if (ranking.Candidates.Count == 0)
        {
            return FallbackReason.None;
        }

        if (request.Deadline.HasPassed(_clock))
        {
            return FallbackReason.DeadlineExceeded;
        }

        try
        {
            var user = await OnLaneAsync(InTimeAsync(reading, request.Deadline, cancellation), request.Deadline, ranking, cancellation);
            if (request.Deadline.HasPassed(_clock))
            {
                return FallbackReason.DeadlineExceeded;
            }

            var encoding = await OnLaneAsync(_encoder.EncodeAsync(serving, user, request.Deadline, cancellation), request.Deadline, ranking, cancellation);
            ContextFeatures.Write(serving.Layout.Context, time, UserFeatureWriter.NewestEvent(user, serving), request.Context, ranking.Context);
            ranking.MarkUserRead();

            var ran = await serving.Model.ScoreAsync(
                encoding, ranking.Candidates.Rows, ranking.Candidates.Count, ranking.Context, ranking.Scores, request.Deadline, cancellation);
            ranking.MarkRun(ran);
            return FallbackReason.None;
        }
        catch (ScoringRejectedException rejected)
        {
            return rejected.Reason == ScoringRejection.Overloaded ? FallbackReason.Overloaded : FallbackReason.DeadlineExceeded;
        }
        catch (StorageException)
        {
            return FallbackReason.UserUnavailable;
        }
    }

    /// <summary>What is there already at once; what is not, on a lane again, since what completes it is a thread that others wait for.</summary>
    private ValueTask<T> OnLaneAsync<T>(ValueTask<T> waited, Deadline deadline, PooledRanking ranking, CancellationToken cancellation) =>
        waited.IsCompleted || _lanes is null ? waited : WaitAsync(waited, _lanes, deadline, ranking, cancellation);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<T> WaitAsync<T>(ValueTask<T> waited, RankLanes lanes, Deadline deadline, PooledRanking ranking, CancellationToken cancellation)
    {
        var result = await waited;
        var since = _clock.GetTimestamp();
        await lanes.TakeTurnAgain(deadline, cancellation);
        ranking.MarkTurn(since);
        cancellation.ThrowIfCancellationRequested();
        return result;
    }

    /// <summary>The user, unless nobody will want to know. What fails, fails when it is awaited: without the user there is still a ranking.</summary>
    private ValueTask<UserSnapshot> AskForUserAsync(ServingModel? serving, RankRequest request, CancellationToken cancellation)
    {
        if (serving is null || request.Deadline.HasPassed(_clock))
        {
            return default;
        }

        try
        {
            return _users.GetAsync(request.User, cancellation);
        }
        catch (StorageException e)
        {
            return ValueTask.FromException<UserSnapshot>(e);
        }
    }

    /// <summary>The user, from memory at once; from a store that is slow no later than the deadline.</summary>
    private ValueTask<UserSnapshot> InTimeAsync(ValueTask<UserSnapshot> reading, Deadline deadline, CancellationToken cancellation) =>
        reading.IsCompleted ? reading : new(WaitAsync(reading.AsTask(), deadline, cancellation));

    private async Task<UserSnapshot> WaitAsync(Task<UserSnapshot> reading, Deadline deadline, CancellationToken cancellation)
    {
        try
        {
            return await reading.WaitAsync(deadline.Left(_clock), _clock, cancellation);
        }
        catch (TimeoutException)
        {
            throw new ScoringRejectedException(ScoringRejection.DeadlineExceeded);
        }
    }
}
