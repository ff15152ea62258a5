using Orleans.Services;

namespace RecBackend.Grains.Counting;

/// <summary>Remembers for another silo whose counts it was about to send. Best effort: users who are forgotten bring their counts when they are active next.</summary>
[Alias("RecBackend.ICountRoster")]
public interface ICountRoster : IGrainService
{
    /// <summary>Users who have counts in a batch of <paramref name="silo"/>.</summary>
    [Alias("Note")]
    Task NoteAsync(SiloAddress silo, RosterEntry[] entries);

    /// <summary>A batch of <paramref name="silo"/> is durable with the items, and so are all of its incarnation up to a number: one that waits for a shard does not hold the later ones back.</summary>
    [Alias("Forget")]
    Task ForgetAsync(SiloAddress silo, CountBatch counted, long through);
}

/// <summary>A user, by the grain's key, with counts in a batch.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.RosterEntry")]
public readonly record struct RosterEntry([property: Id(0)] CountBatch Batch, [property: Id(1)] string User);

/// <summary>Tells other silos whose counts this one is about to send. Best effort.</summary>
internal interface IRoster
{
    /// <summary>Ends when another silo knows, or cannot be told.</summary>
    Task NoteAsync(RosterEntry entry);

    /// <summary>Lets all silos forget a batch that is counted, and all of its incarnation up to a number.</summary>
    Task ForgetAsync(CountBatch counted, long through);
}
