using Orleans.Concurrency;
using RecBackend.Grains.Calls;

namespace RecBackend.Grains.Users;

/// <summary>One user: profile, counters, history, the window of event IDs, and the encoding that a scoring silo computed last. The key is <see cref="Storage.EntityKey"/> of the ID.</summary>
[Alias("RecBackend.IUserGrain")]
public interface IUserGrain : IGrainWithStringKey
{
    /// <summary>The user as last stored. Does not wait for a write that is under way.</summary>
    [Alias("Read"), AlwaysInterleave]
    Task<UserReading> ReadAsync();

    /// <summary>The same; null if it is as the caller has it.</summary>
    [Alias("ReadIfOther"), AlwaysInterleave]
    Task<UserReading?> ReadIfOtherAsync(UserHolding held);

    /// <summary>Applies events of this user, stored with one write; gives what became of each, in order.</summary>
    [Alias("Append"), ResponseTimeout(GrainCall.WriteTime)]
    Task<UserEventOutcome[]> AppendAsync(UserEvent[] events);

    /// <summary>Replaces the attributes.</summary>
    [Alias("SetAttributes"), ResponseTimeout(GrainCall.WriteTime)]
    Task SetAttributesAsync(Dictionary<string, string> attributes);

    /// <summary>Forgets the user, in storage too; false if nothing was known.</summary>
    [Alias("Erase"), ResponseTimeout(GrainCall.WriteTime)]
    Task<bool> EraseAsync();

    /// <summary>Stores that counts which were pending have reached their items.</summary>
    [Alias("Settle"), OneWay]
    Task SettleAsync();

    /// <summary>Keeps an encoding of the user as of <paramref name="version"/> of <paramref name="life"/>, in memory.</summary>
    [Alias("CacheEncoding"), AlwaysInterleave, OneWay]
    Task CacheEncodingAsync(Guid life, long version, EncodingMessage encoding);
}
