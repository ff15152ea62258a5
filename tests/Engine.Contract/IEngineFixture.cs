using RecBackend.Core.Items;
using RecBackend.Core.Users;

namespace RecBackend.Engine.Contract;

/// <summary>The ports of a running engine.</summary>
public sealed record EnginePorts(IUserDirectory Users, IItemDirectory Items, IItemChangeFeed Changes);

/// <summary>What an engine's test project gives to the contract: an engine with a state of its own, which can be closed and opened again.</summary>
public interface IEngineFixture : IAsyncDisposable
{
    /// <summary>The clock that the engine goes by.</summary>
    ManualClock Clock { get; }

    /// <summary>Starts the engine on an empty state.</summary>
    ValueTask<EnginePorts> StartAsync();

    /// <summary>Closes the engine and opens it on the same state.</summary>
    ValueTask<EnginePorts> ReopenAsync();

    /// <summary>Takes the engine's state as a crash at this moment would leave it, without closing anything, and opens an engine on that.</summary>
    ValueTask<EnginePorts> CrashAsync();

    /// <summary>Waits until the items have counted every event that was acknowledged. An engine may let their counters lag behind by a second.</summary>
    ValueTask SettleAsync() => default;
}

/// <summary>A clock that stands still until it is told to move. Timers run on the system's clock.</summary>
public sealed class ManualClock : TimeProvider
{
    private long _ticks = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero).Ticks;

    public override DateTimeOffset GetUtcNow() => new(Volatile.Read(ref _ticks), TimeSpan.Zero);

    public void Advance(TimeSpan by) => Interlocked.Add(ref _ticks, by.Ticks);
}
