using RecBackend.Core.Storage;
using RecBackend.Grains.Placement;
using RecBackend.Grains.Storage;

namespace RecBackend.Grains.Models;

/// <inheritdoc cref="IActiveBundleGrain"/>
[OnEntitySilos]
internal sealed class ActiveBundleGrain([PersistentState("bundle", GrainStorageName.Value)] IPersistentState<ActiveBundle> stored, IScoringSilos silos) : Grain, IActiveBundleGrain
{
    private readonly ChangeCoordinator _coordinator = new(silos, TimeProvider.System);

    public Task<ActiveBundle> ReadAsync() => Task.FromResult(stored.State);

    public Task<ActiveBundle> LookAsync(ReplicaReport report) => StoreAsync(_coordinator.Look(stored.State, report));

    public async Task<ModelRefusal?> BeginAsync(ModelChange change)
    {
        var (record, refusal) = _coordinator.Begin(stored.State, change);
        await StoreAsync(record);
        return refusal;
    }

    public Task<ActiveBundle> GiveUpAsync(Guid change) => StoreAsync(_coordinator.GiveUp(stored.State, change));

    public Task CloseAsync(Guid change) => StoreAsync(_coordinator.Close(stored.State, change));

    /// <summary>Nobody reads of a change what is not stored: else a silo could switch by a decision that is lost.</summary>
    private async Task<ActiveBundle> StoreAsync(ActiveBundle record)
    {
        var before = stored.State;
        if (ReferenceEquals(record, before))
        {
            return record;
        }

        stored.State = record;
        try
        {
            await stored.WriteStateAsync();
            return record;
        }
        catch (Exception error)
        {
            // Whether it was stored is not known: the next activation reads what is true.
            stored.State = before;
            DeactivateOnIdle();
            throw new StorageException(StorageException.Unavailable, $"The active bundle could not be recorded: {error.Message}", error);
        }
    }
}
