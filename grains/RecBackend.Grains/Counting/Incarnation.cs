namespace RecBackend.Grains.Counting;

/// <summary>One run of one silo's counter, for at most a day: a UUID of version 7, which holds the time of its start.</summary>
internal static class Incarnation
{
    /// <summary>How long one is used. A ledger that knows when an incarnation began then knows when its last batch was opened.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromDays(1);

    public static Guid New(TimeProvider clock) => Guid.CreateVersion7(clock.GetUtcNow());

    /// <summary>When it began, Unix milliseconds. The incarnations of version 0.1, which are random, began never: what is known of them is kept.</summary>
    public static long Began(Guid incarnation)
    {
        if (incarnation.Version != 7)
        {
            return long.MaxValue;
        }

        Span<byte> bytes = stackalloc byte[16];
        incarnation.TryWriteBytes(bytes, bigEndian: true, out _);
        var milliseconds = 0L;
        foreach (var one in bytes[..6])
        {
            milliseconds = (milliseconds << 8) | one;
        }

        return milliseconds;
    }
}
