using Microsoft.Extensions.Caching.Memory;
using RecBackend.Core.Users;

namespace RecBackend.Grains.Users;

/// <summary>
/// Users as this silo read them last, with encodings that its model can use in place. A grain is asked for each ranking all the same, and says that nothing has changed instead of sending a history and
/// an encoding once more. Bounded in bytes; what has not been asked for lately goes first, and everything after some minutes: a user who was erased is not kept here for longer.
/// </summary>
internal sealed class UserCopies(long bytes) : IDisposable
{
    private static readonly TimeSpan Life = TimeSpan.FromMinutes(10);

    // Rough, and rather too much: objects, strings of IDs and references to them.
    private const int BytesOfUser = 500;
    private const int BytesOfEntry = 150;

    private readonly MemoryCache _copies = new(new MemoryCacheOptions { SizeLimit = bytes });

    /// <summary>The user as read last, or null. It may have changed since.</summary>
    public UserSnapshot? Find(string user) => _copies.Get<UserSnapshot>(user);

    /// <summary>Keeps a user that a grain sent, or whose encoding was computed here.</summary>
    public void Keep(UserSnapshot user) => _copies.Set(user.Id, user, new MemoryCacheEntryOptions { Size = Size(user), AbsoluteExpirationRelativeToNow = Life });

    /// <summary>Forgets a user.</summary>
    public void Drop(string user) => _copies.Remove(user);

    public void Dispose() => _copies.Dispose();

    private static long Size(UserSnapshot user) =>
        BytesOfUser + (BytesOfEntry * ((long)user.History.Length + user.Attributes.Count))
        + (user.Encoding is { } encoding ? sizeof(float) * ((long)encoding.UserState.Length + encoding.HistoryState.Length) : 0);
}
