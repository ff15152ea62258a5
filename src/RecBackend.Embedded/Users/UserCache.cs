using System.Collections.Concurrent;

namespace RecBackend.Embedded.Users;

/// <summary>
/// The users in memory. Bounded in bytes by sweeps: what is added is summed up, and with every eighth of the budget a sweep counts what is really there and, if that is too much,
/// drops who was not asked for since the sweep before (the clock algorithm), then whoever comes, until an eighth is free.
/// A user may be dropped at any time, also in the middle of a commit: who reads it afterwards reads it from the state file.
/// </summary>
/// <param name="budget">Bytes.</param>
/// <param name="startSweep">Starts a sweep that is due, somewhere else: whoever adds must not wait for it.</param>
internal sealed class UserCache(long budget, Action<Action> startSweep)
{
    private readonly ConcurrentDictionary<string, UserActor> _actors = new(StringComparer.Ordinal);
    private long _added;
    private int _sweeping;

    public int Count => _actors.Count;

    public bool TryGet(string user, out UserActor actor)
    {
        if (!_actors.TryGetValue(user, out actor!))
        {
            return false;
        }

        actor.Used = true;
        return true;
    }

    public UserActor GetOrAdd(string user)
    {
        if (TryGet(user, out var actor))
        {
            return actor;
        }

        Grow(300);
        return _actors.GetOrAdd(user, static _ => new UserActor());
    }

    /// <summary>
    /// Shows a committed state. The actor takes its place in the map again, if it was dropped while the commit ran: another one, made meanwhile by a reader, may hold the state before.
    /// </summary>
    public void Publish(string user, UserActor actor, StoredUser committed)
    {
        actor.Publish(committed);
        _actors[user] = actor;
        Grow(committed.Bytes);
    }

    /// <summary>Tells that so many bytes were added.</summary>
    public void Grow(long bytes)
    {
        if (Interlocked.Add(ref _added, bytes) > budget / 8 && Interlocked.CompareExchange(ref _sweeping, 1, 0) == 0)
        {
            startSweep(() =>
            {
                SweepToBudget();
                Volatile.Write(ref _sweeping, 0);
            });
        }
    }

    /// <summary>Drops who was not asked for since the last sweep.</summary>
    public void SweepIdle()
    {
        foreach (var entry in _actors)
        {
            if (entry.Value.Used)
            {
                entry.Value.Used = false;
            }
            else
            {
                _actors.TryRemove(entry);
            }
        }
    }

    internal void SweepToBudget()
    {
        Interlocked.Exchange(ref _added, 0);
        var bytes = 0L;
        foreach (var entry in _actors)
        {
            bytes += Size(entry.Value);
        }

        if (bytes <= budget)
        {
            return;
        }

        var target = budget - (budget / 8);
        for (var round = 0; round < 2 && bytes > target; round++)
        {
            foreach (var entry in _actors)
            {
                if (bytes <= target)
                {
                    return;
                }

                if (entry.Value.Used && round == 0)
                {
                    entry.Value.Used = false;
                }
                else if (_actors.TryRemove(entry))
                {
                    bytes -= Size(entry.Value);
                }
            }
        }
    }

    private static long Size(UserActor actor) => 300 + (actor.Stored?.Bytes ?? 0);
}
