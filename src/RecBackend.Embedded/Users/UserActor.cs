using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Embedded.Users;

/// <summary>
/// A user in memory: one reference to an immutable state. Only the commit thread replaces the state by a later one; readers take it as it is, without a lock.
/// </summary>
internal sealed class UserActor
{
    private StoredUser? _stored;
    private bool _used = true;

    /// <summary>The last committed state, or null if it was not read yet.</summary>
    public StoredUser? Stored => Volatile.Read(ref _stored);

    /// <summary>Whether it was asked for since the last sweep. Written only when it changes: readers on other cores keep the line.</summary>
    public bool Used
    {
        get => _used;
        set
        {
            if (_used != value)
            {
                _used = value;
            }
        }
    }

    /// <summary>Takes a state that was read, unless there is one: a commit may have come between, and what it left is newer.</summary>
    public StoredUser Fill(StoredUser read) => Interlocked.CompareExchange(ref _stored, read, null) ?? read;

    /// <summary>Takes a state that was committed.</summary>
    public void Publish(StoredUser committed) => Volatile.Write(ref _stored, committed);

    /// <summary>Adds an encoding, unless the user is no longer at the moment that was encoded.</summary>
    public bool TryCache(UserSnapshot of, UserEncoding encoding)
    {
        while (Stored is { } current && current.Snapshot.IsSameMomentAs(of))
        {
            var next = current with { Snapshot = current.Snapshot with { Encoding = encoding } };
            if (ReferenceEquals(Interlocked.CompareExchange(ref _stored, next, current), current))
            {
                return true;
            }
        }

        return false;
    }
}
