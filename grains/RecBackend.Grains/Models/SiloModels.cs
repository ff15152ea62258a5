using System.Collections.Concurrent;
using RecBackend.Core;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Grains.Calls;

namespace RecBackend.Grains.Models;

/// <summary>This silo's part in changes of the model: gets ready, then waits for the word of the silo that leads the change.</summary>
internal sealed class SiloModels(ModelDirectory models, ISharedBundles bundles, IGrainFactory grains, IClusterMembershipService membership)
{
    /// <summary>How often a silo that is ready to switch looks whether the one that leads is still there.</summary>
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(2);

    /// <summary>How long the leader waits for a switch: what comes after it, the end of old representations, takes longer and keeps nobody waiting.</summary>
    private static readonly TimeSpan SwitchTime = TimeSpan.FromSeconds(2);

    private readonly ConcurrentDictionary<Guid, Pending> _pending = new();

    /// <summary>Whether a change is under way.</summary>
    public bool IsChanging => !_pending.IsEmpty;

    public Task<ModelRefusal?> FetchAsync(string version) => RefusalOf(Task.Run(() => bundles.FetchAsync(version, CancellationToken.None)));

    /// <summary>Gets ready to switch.</summary>
    /// <returns>Null when it is ready, or changed already; else why it cannot.</returns>
    public async Task<ModelRefusal?> PrepareAsync(ModelChange change, JobProgress progress, CancellationToken cancellation)
    {
        var pending = new Pending(cancellation);
        _pending[change.Id] = pending;

        // Not on the scheduler of the grain service: it is seconds of work, and more calls come meanwhile.
        pending.Work = Task.Run(() => ApplyAsync(change, progress, pending), CancellationToken.None);
        return await Task.WhenAny(pending.Prepared.Task, pending.Work) == pending.Work ? await RefusalOf(pending.Work) : null;
    }

    public async Task SwitchAsync(Guid change)
    {
        if (_pending.TryGetValue(change, out var pending))
        {
            pending.Go.TrySetResult();
            await pending.Work.WaitAsync(SwitchTime).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        }
    }

    public async Task AbandonAsync(Guid change)
    {
        if (_pending.TryGetValue(change, out var pending))
        {
            await pending.Stop.CancelAsync();
        }
    }

    private async Task ApplyAsync(ModelChange change, JobProgress progress, Pending pending)
    {
        try
        {
            await (change.From is { } from
                ? models.RollbackAsync(from, progress, AgreeAsync, pending.Stop.Token)
                : models.ActivateAsync(change.Version, progress, AgreeAsync, pending.Stop.Token));
        }
        finally
        {
            _pending.TryRemove(change.Id, out _);
        }

        async Task AgreeAsync(CancellationToken cancellation)
        {
            pending.Prepared.TrySetResult();
            while (!await IsToldAsync(pending, cancellation))
            {
                if (membership.CurrentSnapshot.GetSiloStatus(change.Leader) is not (SiloStatus.Active or SiloStatus.ShuttingDown or SiloStatus.Stopping))
                {
                    await AskRecordAsync(change, cancellation);
                    return;
                }
            }
        }
    }

    private static async Task<bool> IsToldAsync(Pending pending, CancellationToken cancellation)
    {
        try
        {
            await pending.Go.Task.WaitAsync(Look, cancellation);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    /// <summary>The silo that led is gone: what it had decided is on record.</summary>
    private async Task AskRecordAsync(ModelChange change, CancellationToken cancellation)
    {
        var record = await GrainCall.TryAgainAsync(grains.GetGrain<IActiveBundleGrain>(0).ReadAsync, cancellation);
        if (record.Active != change.Version)
        {
            throw new OperationCanceledException("The silo that led the change of the model went away before it was decided.");
        }
    }

    private static async Task<ModelRefusal?> RefusalOf(Task work)
    {
        try
        {
            await work;
            return null;
        }
        catch (BundleRefusedException refusal)
        {
            return new(refusal.Code, refusal.Message, IsOfBundle: true);
        }
        catch (OperationRefusedException refusal)
        {
            return new(refusal.Code, refusal.Message, IsOfBundle: false);
        }
        catch (Exception error) when (error is StorageException or IOException)
        {
            return new(error is StorageException storage ? storage.Code : StorageException.Unavailable, error.Message, IsOfBundle: false);
        }
    }

    private sealed class Pending(CancellationToken cancellation)
    {
        public TaskCompletionSource Prepared { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Go { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public CancellationTokenSource Stop { get; } = CancellationTokenSource.CreateLinkedTokenSource(cancellation);

        public Task Work { get; set; } = Task.CompletedTask;
    }
}
