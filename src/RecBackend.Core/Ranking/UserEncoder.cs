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
        var cached = user.Encoding is { } encoding && encoding.IsFor(serving.Version, user.Version) ? user.Encoding : StrangerEncoding(serving, user);
        Telemetry.UserEncoded(cached is not null);
        return cached is not null ? new(cached) : new(JoinAsync(serving, user, deadline, cancellation));
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
        var run = new Run(user.Id, user.Version, serving.Version);
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
            UserFeatureWriter.Write(user, serving, features);
            var encoding = await serving.Model.EncodeUserAsync(features, user.Version, CancellationToken.None);
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

    private readonly record struct Run(string User, long UserVersion, string Bundle);
}
