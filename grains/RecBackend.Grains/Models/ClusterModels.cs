using Microsoft.Extensions.Logging;
using RecBackend.Core;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Grains.Calls;

namespace RecBackend.Grains.Models;

/// <summary>
/// Changes the model of all scoring silos: all get ready, the change is recorded, all switch. A silo that cannot get ready has the change refused, and the old model stays everywhere. From the record on,
/// a silo that misses the word to switch finds it there.
/// </summary>
internal sealed class ClusterModels(
    SiloModels local, ModelReplicas replicas, ScoringSilos silos, IGrainFactory grains, ILocalSiloDetails here, IClusterMembershipService membership, ILogger<ClusterModels> log)
    : IModelSwitch
{
    /// <summary>Which bundle answers in this cluster.</summary>
    private IActiveBundleGrain Record => grains.GetGrain<IActiveBundleGrain>(0);

    public Task ActivateAsync(string version, JobProgress progress, CancellationToken cancellation) =>
        ChangeAsync(new(Guid.NewGuid(), here.SiloAddress, version, From: null), progress, cancellation);

    public async Task RollbackAsync(string from, JobProgress progress, CancellationToken cancellation)
    {
        var record = await ReadAsync(cancellation);
        if (record.Active != from || record.Previous is null)
        {
            throw new OperationRefusedException(
                "rollback_unavailable", record.Active == from ? "No bundle was active before this one." : $"The bundle '{from}' is not the active one, which is {record.Active ?? "none"}.");
        }

        await ChangeAsync(new(Guid.NewGuid(), here.SiloAddress, record.Previous, from), progress, cancellation);
    }

    /// <summary>The versions that are on record.</summary>
    public Task<ActiveBundle> ReadAsync(CancellationToken cancellation) => GrainCall.TryAgainAsync(() => Record.ReadAsync(), cancellation);

    private async Task ChangeAsync(ModelChange change, JobProgress progress, CancellationToken cancellation)
    {
        var others = silos.Others;
        try
        {
            // This one alone first: it encodes what the items lack, and the others read that instead of computing it too.
            Accept(await local.PrepareAsync(change, progress, cancellation), here.Name);
            await Task.WhenAll(others.Select(silo => PrepareAsync(silo, change, cancellation)));
            var record = await ReadAsync(cancellation);
            if (record.Active != change.Version)
            {
                await GrainCall.TryAgainAsync(() => Record.WriteAsync(new() { Active = change.Version, Previous = record.Active }), cancellation);
            }
        }
        catch
        {
            // If it was the record that failed, and it was written after all, silos follow it a moment later.
            await Task.WhenAll(others.Select(silo => TellAsync(silo, replica => replica.AbandonAsync(change.Id))).Append(local.AbandonAsync(change.Id)));
            throw;
        }

        await Task.WhenAll(others.Select(silo => TellAsync(silo, replica => replica.SwitchAsync(change.Id))).Append(local.SwitchAsync(change.Id)));
    }

    private async Task PrepareAsync(ClusterMember silo, ModelChange change, CancellationToken cancellation)
    {
        try
        {
            Accept(await replicas[silo.SiloAddress].PrepareAsync(change).WaitAsync(cancellation), silo.Name);
        }
        catch (Exception error) when (error is OrleansException or TimeoutException)
        {
            // A silo that has died learns what is active when it comes back.
            if (membership.CurrentSnapshot.GetSiloStatus(silo.SiloAddress) is SiloStatus.Active)
            {
                throw new StorageException(StorageException.Unavailable, $"{silo.Name} does not answer: {error.Message}", error);
            }
        }
    }

    private static void Accept(ModelRefusal? refusal, string silo)
    {
        if (refusal is not null)
        {
            var detail = $"{silo}: {refusal.Detail}";
            throw refusal.IsOfBundle ? new BundleRefusedException(refusal.Code, detail) : new OperationRefusedException(refusal.Code, detail);
        }
    }

    private async Task TellAsync(ClusterMember silo, Func<IModelReplica, Task> word)
    {
        try
        {
            await GrainCall.TryAgainAsync(() => word(replicas[silo.SiloAddress]), CancellationToken.None);
        }
        catch (StorageException error)
        {
            log.LogWarning("{Silo} did not hear of the change of the model and finds it on record: {Reason}", silo.Name, error.Message);
        }
    }
}
