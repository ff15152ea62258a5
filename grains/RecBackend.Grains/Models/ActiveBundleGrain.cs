using RecBackend.Core.Storage;
using RecBackend.Grains.Placement;
using RecBackend.Grains.Storage;

namespace RecBackend.Grains.Models;

/// <inheritdoc cref="IActiveBundleGrain"/>
[OnEntitySilos]
internal sealed class ActiveBundleGrain([PersistentState("bundle", GrainStorageName.Value)] IPersistentState<ActiveBundle> stored) : Grain, IActiveBundleGrain
{
    public Task<ActiveBundle> ReadAsync() => Task.FromResult(stored.State);

    public async Task WriteAsync(ActiveBundle versions)
    {
        stored.State = versions;
        try
        {
            await stored.WriteStateAsync();
        }
        catch (Exception error)
        {
            // Whether it was stored is not known: the next activation reads what is true.
            DeactivateOnIdle();
            throw new StorageException(StorageException.Unavailable, $"The active bundle could not be recorded: {error.Message}", error);
        }
    }
}
