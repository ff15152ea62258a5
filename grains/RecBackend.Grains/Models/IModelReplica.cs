using Orleans.Services;

namespace RecBackend.Grains.Models;

/// <summary>The end of a scoring silo at which changes of the model arrive.</summary>
[Alias("RecBackend.IModelReplica")]
public interface IModelReplica : IGrainService
{
    /// <summary>Fetches a bundle to the silo's disk, unless it is there.</summary>
    [Alias("Fetch"), ResponseTimeout("00:10:00")]
    Task<ModelRefusal?> FetchAsync(string version);

    /// <summary>Gets ready to switch; returns when the silo is, or why it cannot.</summary>
    [Alias("Prepare"), ResponseTimeout("06:00:00")]
    Task<ModelRefusal?> PrepareAsync(ModelChange change);

    /// <summary>Switches.</summary>
    [Alias("Switch")]
    Task SwitchAsync(Guid change);

    /// <summary>Stays with the active model.</summary>
    [Alias("Abandon")]
    Task AbandonAsync(Guid change);
}

/// <summary>A change of the model of all scoring silos.</summary>
/// <param name="Id">Names it.</param>
/// <param name="Leader">The silo that leads it.</param>
/// <param name="Version">The version that is to answer.</param>
/// <param name="From">Of a rollback, the version that is left; else null.</param>
[GenerateSerializer, Immutable, Alias("RecBackend.ModelChange")]
public sealed record ModelChange([property: Id(0)] Guid Id, [property: Id(1)] SiloAddress Leader, [property: Id(2)] string Version, [property: Id(3)] string? From);

/// <summary>Why a silo cannot change its model.</summary>
/// <param name="Code">Stable code.</param>
/// <param name="Detail">In words.</param>
/// <param name="IsOfBundle">Whether the bundle is at fault; else the present state is.</param>
[GenerateSerializer, Immutable, Alias("RecBackend.ModelRefusal")]
public sealed record ModelRefusal([property: Id(0)] string Code, [property: Id(1)] string Detail, [property: Id(2)] bool IsOfBundle);
