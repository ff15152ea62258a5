namespace RecBackend.Embedded;

/// <summary>Settings of the embedded engine.</summary>
public sealed record EmbeddedOptions
{
    /// <summary>Directory of the state; made if it is missing. One engine at a time may have it.</summary>
    public required string Directory { get; init; }

    /// <summary>
    /// How much memory users (histories and encodings) may take, in bytes, give or take an eighth; who was not asked for lately is dropped first and read again when needed. Default 512 MiB.
    /// Items are apart: each takes about 120 bytes plus twice the length of its ID, whether it is used or not.
    /// </summary>
    public long UserCacheBytes { get; init; } = 512L << 20;

    /// <summary>A user who was not asked for during this time is dropped from memory. Default 15 minutes.</summary>
    public TimeSpan UserIdleTime { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>How many events and items may wait to be stored before further writes are refused with <c>storage_overloaded</c>. Default 65,536.</summary>
    public int MaxQueuedEntries { get; init; } = 65_536;

    /// <summary>Connections for reads of users and items that are not in memory. Default 4.</summary>
    public int ReadConnections { get; init; } = 4;

    /// <exception cref="ArgumentException">A setting is out of range; the message names it.</exception>
    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(Directory);
        ArgumentOutOfRangeException.ThrowIfLessThan(UserCacheBytes, 1 << 20, nameof(UserCacheBytes));
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(UserIdleTime, TimeSpan.Zero, nameof(UserIdleTime));
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxQueuedEntries, 1, nameof(MaxQueuedEntries));
        ArgumentOutOfRangeException.ThrowIfLessThan(ReadConnections, 1, nameof(ReadConnections));
    }
}
