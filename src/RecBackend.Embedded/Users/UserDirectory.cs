using RecBackend.Core.Models;
using RecBackend.Core.Users;
using RecBackend.Embedded.Storage;

namespace RecBackend.Embedded.Users;

/// <summary>The engine's users: reads from memory, or from the state file; writes through the commit thread.</summary>
internal sealed class UserDirectory(UserCache cache, ReadSessions reads, GroupCommit commits, EngineTransaction transaction) : IUserDirectory
{
    public ValueTask<UserSnapshot> GetAsync(string user, CancellationToken cancellation) =>
        cache.TryGet(user, out var actor) && actor.Stored is { } stored ? new(stored.Snapshot) : LoadAsync(user, cancellation);

    public async ValueTask<EventReceipt> AppendAsync(IReadOnlyList<InteractionEvent> events, CancellationToken cancellation) =>
        await commits.RunAsync(events.Count, () => transaction.Append(events), cancellation);

    public async ValueTask SetAttributesAsync(IReadOnlyList<UserProfile> users, CancellationToken cancellation) =>
        await commits.RunAsync(
            users.Count,
            () =>
            {
                foreach (var user in users)
                {
                    transaction.Users.SetAttributes(user);
                }

                return true;
            },
            cancellation);

    public async ValueTask<bool> EraseAsync(string user, CancellationToken cancellation) =>
        await commits.RunAsync(1, () => transaction.Erase(user), cancellation);

    public void CacheEncoding(UserSnapshot user, UserEncoding encoding)
    {
        if (cache.TryGet(user.Id, out var actor) && actor.TryCache(user, encoding))
        {
            cache.Grow((encoding.UserState.Length + encoding.HistoryState.Length) * (long)sizeof(float));
        }
    }

    private async ValueTask<UserSnapshot> LoadAsync(string user, CancellationToken cancellation)
    {
        // The actor first, the read second: a commit that comes between the two finds the actor and fills it with what is newer.
        var actor = cache.GetOrAdd(user);
        var stored = actor.Fill(await reads.ReadAsync(user, static (session, id) => session.Users.Read(id), cancellation));
        cache.Grow(stored.Bytes);
        return stored.Snapshot;
    }
}
