namespace RecBackend.Grains.Models;

/// <summary>
/// Which bundle answers in this cluster, and what becomes of a change of it: the one place where a change is decided. Silos are told nothing; they look here, say how far they are, and act by what they
/// read, so that there is no message whose loss could leave one of them behind. There is one, of key 0.
/// </summary>
[Alias("RecBackend.IActiveBundleGrain")]
public interface IActiveBundleGrain : IGrainWithIntegerKey
{
    /// <summary>The record.</summary>
    [Alias("Read")]
    Task<ActiveBundle> ReadAsync();

    /// <summary>Tells how far a scoring silo is, and reads the record.</summary>
    [Alias("Look")]
    Task<ActiveBundle> LookAsync(ReplicaReport report);

    /// <summary>Opens a change, unless another one is under way.</summary>
    /// <returns>Null, or why not.</returns>
    [Alias("Begin")]
    Task<ModelRefusal?> BeginAsync(ModelChange change);

    /// <summary>Gives a change up, unless it is decided.</summary>
    [Alias("GiveUp")]
    Task<ActiveBundle> GiveUpAsync(Guid change);

    /// <summary>Lets go of a change that is decided: the next one may begin.</summary>
    [Alias("Close")]
    Task CloseAsync(Guid change);
}
