using Microsoft.Extensions.Logging;
using RecBackend.Core;
using RecBackend.Core.Items;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Grains.Calls;

namespace RecBackend.Grains.Models;

/// <summary>
/// Leads changes of the model of all scoring silos: opens a change on the record, gets this silo ready first, and waits. The others read there that it is their turn; when all are ready the record says so, and
/// all switch. The leader decides nothing: if it dies, the record says what holds.
/// </summary>
internal sealed class ClusterModels(SiloModels local, IItemDirectory items, IGrainFactory grains, ILocalSiloDetails here, ILogger<ClusterModels> log) : IModelSwitch
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    /// <summary>Less than a silo that leads may be silent.</summary>
    private static readonly TimeSpan TurnTime = TimeSpan.FromSeconds(2);

    private IActiveBundleGrain Record => grains.GetGrain<IActiveBundleGrain>(0);

    public async Task ActivateAsync(string version, JobProgress progress, CancellationToken cancellation)
    {
        if ((await ReadAsync(cancellation)).Active != version)
        {
            await ChangeAsync(new(Guid.NewGuid(), here.SiloAddress, version, From: null), progress, cancellation);
        }
    }

    public async Task RollbackAsync(string from, JobProgress progress, CancellationToken cancellation)
    {
        var record = await ReadAsync(cancellation);
        if (record.Active != from || record.Previous is not { } previous)
        {
            throw new OperationRefusedException(
                "rollback_unavailable", record.Active == from ? "No bundle was active before this one." : $"The bundle '{from}' is not the active one, which is {record.Active ?? "none"}.");
        }

        await ChangeAsync(new(Guid.NewGuid(), here.SiloAddress, previous, from), progress, cancellation);
    }

    private Task<ActiveBundle> ReadAsync(CancellationToken cancellation) => GrainCall.TryAgainAsync(() => Record.ReadAsync(), cancellation);

    private async Task ChangeAsync(ModelChange change, JobProgress progress, CancellationToken cancellation)
    {
        if (await GrainCall.TryAgainAsync(() => Record.BeginAsync(change), cancellation) is { } refusal)
        {
            throw ExceptionOf(refusal);
        }

        try
        {
            // After it was opened: what this silo works at and does not find on record was given up.
            using var work = await TakeTurnAsync(change.Id, cancellation);
            await LeadAsync(work, change, progress, cancellation);
        }
        finally
        {
            await EndAsync(change.Id);
        }
    }

    /// <summary>This silo's turn. It may not have heard yet that the change before was given up.</summary>
    private async Task<SiloWork> TakeTurnAsync(Guid change, CancellationToken cancellation)
    {
        for (var waited = TimeSpan.Zero; waited < TurnTime; waited += Look)
        {
            if (local.TryBegin(change) is { } work)
            {
                return work;
            }

            await Task.Delay(Look, cancellation);
        }

        throw new OperationRefusedException("activation_in_progress", "This silo is coming after a change of the model that it has missed; wait for it.");
    }

    private async Task LeadAsync(SiloWork work, ModelChange change, JobProgress progress, CancellationToken cancellation)
    {
        try
        {
            // Whether it can still be given up is for the record to say: it may be decided in this moment.
            await using var giveUp = cancellation.Register(() => _ = GiveUpAsync(work));
            await local.ApplyAsync(work, change.Version, progress);
            var record = await SwitchedAsync(change.Id, work.Stop);
            if (record.Change is { Phase: ChangePhase.GivenUp } given && given.Id == change.Id)
            {
                throw ExceptionOf(given.Refusal ?? new(StorageException.Unavailable, "The change of the model was given up.", IsOfBundle: false));
            }

            if (record.Change is { IsOpen: true } open && open.Id == change.Id)
            {
                await TrimAsync([.. new[] { record.Active, record.Previous }.OfType<string>()]);
            }
        }
        catch (OperationCanceledException) when (work.Stop.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            throw ExceptionOf(work.Refusal ?? new(StorageException.Unavailable, "The change of the model was given up.", IsOfBundle: false));
        }
    }

    private async Task GiveUpAsync(SiloWork work)
    {
        try
        {
            var record = await GrainCall.TryAgainAsync(() => Record.GiveUpAsync(work.Change!.Value), CancellationToken.None);
            if (record.Change?.Id == work.Change && record.Change!.IsDecided)
            {
                return;
            }
        }
        catch (StorageException error)
        {
            log.LogWarning("It cannot be recorded that the change of the model is given up; the record finds that nobody leads it: {Reason}", error.Message);
        }

        work.GiveUp(null);
    }

    /// <summary>Waits until the record says that all silos have switched.</summary>
    private async Task<ActiveBundle> SwitchedAsync(Guid change, CancellationToken stop)
    {
        while (true)
        {
            // Where this silo had the version already, the change may not be decided yet.
            var record = await ReadAsync(stop);
            if (record.Change?.Id != change || record.Change.Phase > ChangePhase.Decided)
            {
                return record;
            }

            await Task.Delay(Look, stop);
        }
    }

    /// <summary>Drops the representations of bundles that nobody needs any more. While that goes on the change is open, so that nobody makes some for the next one.</summary>
    private async Task TrimAsync(string[] keep)
    {
        try
        {
            await items.TrimRepresentationsAsync(keep, CancellationToken.None);
        }
        catch (Exception error)
        {
            // The new model answers already.
            log.LogWarning(error, "Representations of bundles that are no longer kept could not be dropped; the next activation tries again");
        }
    }

    private async Task EndAsync(Guid change)
    {
        try
        {
            await GrainCall.TryAgainAsync(() => Record.GiveUpAsync(change), CancellationToken.None);
            await GrainCall.TryAgainAsync(() => Record.CloseAsync(change), CancellationToken.None);
        }
        catch (StorageException error)
        {
            log.LogWarning("The change of the model could not be closed; the record finds that nobody leads it: {Reason}", error.Message);
        }
    }

    private static Exception ExceptionOf(ModelRefusal refusal) =>
        refusal.IsOfBundle ? new BundleRefusedException(refusal.Code, refusal.Detail) : new OperationRefusedException(refusal.Code, refusal.Detail);
}
