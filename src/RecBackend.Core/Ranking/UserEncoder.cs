using System.Collections.Concurrent;
using RecBackend.Core.Features;
using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Core.Ranking;

/// <summary>Gives the encoding of a user: the one that is cached with the user, or a new one. Rankings of one user that come together share one run of the encoder.</summary>
internal sealed class UserEncoder(IUserDirectory users, TimeProvider clock)
{
    private readonly ConcurrentDictionary<Run, Lazy<Task<UserEncoding>>> _runs = new();

    /// <summary>The encoding of <paramref name="user"/> by <paramref name="serving"/>.</summary>
    /// <exception cref="ScoringRejectedException">There was none in time.</exception>
    public ValueTask<UserEncoding> EncodeAsync(ServingModel serving, UserSnapshot user, Deadline deadline, CancellationToken cancellation)
    {
        var cached = user.Encoding is { } encoding && encoding.IsFor(serving.Version, user.Version) && IsOfTheseRows(encoding, serving, user)
            ? encoding
            : StrangerEncoding(serving, user);
        Telemetry.UserEncoded(cached is not null);
        return cached is not null ? new(cached) : new(JoinAsync(serving, user, deadline, cancellation));
    }

    /// <summary>Whether the items of the history are still those that were encoded: known at once while no row changed, and else by a look at the versions of the history's rows.</summary>
    private static bool IsOfTheseRows(UserEncoding encoding, ServingModel serving, UserSnapshot user)
    {
        var epoch = serving.Catalog.RowsEpoch;
        if (encoding.RowsEpoch == epoch)
        {
            return true;
        }

        if (encoding.HistoryRows != UserFeatureWriter.HistoryRows(user, serving))
        {
            return false;
        }

        // The epoch was read before the versions: a row that changed in between is looked for again.
        encoding.RowsEpoch = epoch;
        return true;
    }

    /// <summary>Users of whom nobody knows anything differ in nothing but their names, so they share an encoding.</summary>
    private static UserEncoding? StrangerEncoding(ServingModel serving, UserSnapshot user) =>
        serving.StrangerEncoding is { } shared && IsStranger(serving, user) ? shared : null;

    private static bool IsStranger(ServingModel serving, UserSnapshot user)
    {
        Span<float> unused = serving.Layout.UserId <= 1024 ? stackalloc float[serving.Layout.UserId] : new float[serving.Layout.UserId];
        return !user.Known && !serving.Model.TryGetUserEmbedding(user.Id, unused);
    }

    private async Task<UserEncoding> JoinAsync(ServingModel serving, UserSnapshot user, Deadline deadline, CancellationToken cancellation)
    {
        var run = new Run(user, serving, serving.Catalog.RowsEpoch);
        var task = _runs.GetOrAdd(run, _ => new(() => EncodeAsync(run, serving, user))).Value;
        try
        {
            return await task.WaitAsync(deadline.Left(clock), clock, cancellation);
        }
        catch (TimeoutException)
        {
            throw new ScoringRejectedException(ScoringRejection.DeadlineExceeded);
        }
    }

    /// <summary>Runs the encoder once for all who wait, so no single caller's cancellation ends it.</summary>
    private async Task<UserEncoding> EncodeAsync(Run run, ServingModel serving, UserSnapshot user)
    {
        // The caller that is about to wait holds the model, but may give up before the run ends.
        serving.TryHold();
        var features = serving.RentFeatures();
        try
        {
            // In this order: what changes on the way makes the encoding look older than it is, never newer.
            var epoch = serving.Catalog.RowsEpoch;
            var rows = UserFeatureWriter.HistoryRows(user, serving);
            UserFeatureWriter.Write(user, serving, features);
            var encoding = await serving.Model.EncodeUserAsync(features, user.Version, CancellationToken.None);
            (encoding.RowsEpoch, encoding.HistoryRows) = (epoch, rows);
            users.CacheEncoding(user, encoding);
            if (IsStranger(serving, user))
            {
                serving.StrangerEncoding = encoding;
            }

            return encoding;
        }
        finally
        {
            serving.Return(features);
            serving.Release();
            _runs.TryRemove(run, out _);
        }
    }

    /// <summary>What a run encodes. The user's version alone would not do: a user who was erased and came back counts from 0 again.</summary>
    private readonly struct Run(UserSnapshot user, ServingModel serving, long rowsEpoch) : IEquatable<Run>
    {
        private readonly UserSnapshot _user = user;
        private readonly ServingModel _serving = serving;
        private readonly long _rowsEpoch = rowsEpoch;

        public bool Equals(Run other) =>
            _serving == other._serving && _rowsEpoch == other._rowsEpoch && _user.Id == other._user.Id && _user.IsSameMomentAs(other._user);

        public override bool Equals(object? obj) => obj is Run other && Equals(other);

        public override int GetHashCode() => HashCode.Combine(_user.Id, _user.Version, _rowsEpoch);
    }
}
