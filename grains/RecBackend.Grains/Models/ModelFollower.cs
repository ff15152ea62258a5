using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;
using RecBackend.Grains.Calls;

namespace RecBackend.Grains.Models;

/// <summary>
/// Keeps this silo at the model that is on record: looks at the record several times a second, tells how far the silo is, takes part in the change that it finds, and comes after those that were missed.
/// </summary>
public sealed class ModelFollower : BackgroundService
{
    /// <summary>Between two looks while a change is under way: how far apart silos switch.</summary>
    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(100);

    /// <summary>Between two looks otherwise: how late silos hear of a change that begins.</summary>
    private static readonly TimeSpan Idle = TimeSpan.FromMilliseconds(500);

    /// <summary>Before the active model is tried again that could not be loaded.</summary>
    private static readonly TimeSpan Retry = TimeSpan.FromSeconds(3);

    /// <summary>The same for the previous one, which a rollback would load too.</summary>
    private static readonly TimeSpan RetryPrevious = TimeSpan.FromMinutes(1);

    private readonly IGrainFactory _grains;
    private readonly SiloModels _local;
    private readonly ModelDirectory _models;
    private readonly ISharedBundles _bundles;
    private readonly ILocalSiloDetails _here;
    private readonly ILogger _log;
    private volatile bool _joined;
    private volatile bool _isBehind = true;
    private long _retryAt;

    internal ModelFollower(IGrainFactory grains, SiloModels local, ModelDirectory models, ISharedBundles bundles, ILocalSiloDetails here, ILogger<ModelFollower> log) =>
        (_grains, _local, _models, _bundles, _here, _log) = (grains, local, models, bundles, here, log);

    /// <summary>Whether this silo has another model than the cluster, or does not know yet.</summary>
    public bool IsBehind => _isBehind;

    private IActiveBundleGrain Record => _grains.GetGrain<IActiveBundleGrain>(0);

    /// <summary>Learns which bundle answers, before the models are started. Waits for an entity silo, which may start later than this one.</summary>
    public async Task LearnAsync(CancellationToken cancellation)
    {
        var record = await LookUntilAnsweredAsync(cancellation);
        _bundles.WriteActive(new(record.Active, record.Previous));
    }

    /// <summary>
    /// Takes part in changes from now on, after the models were started. Completes their catalogues, and comes after one that was decided meanwhile first; if that fails the silo stays behind, and goes on trying.
    /// </summary>
    public async Task JoinAsync(CancellationToken cancellation)
    {
        try
        {
            await _local.CompleteAsync(cancellation);
        }
        catch (StorageException error)
        {
            _log.LogWarning("The catalogue could not be compared with the items before this silo ranks, and is compared from now on: {Reason}", error.Message);
        }

        _local.Serve();
        var record = await LookUntilAnsweredAsync(cancellation);
        if (IsOther(record))
        {
            await FollowAsync(record);
        }

        _isBehind = IsOther(record);
        _joined = true;
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var bundles = FetchAllAsync(stoppingToken);
        using var stop = stoppingToken.Register(() => _local.Work?.GiveUp(null));
        var isRead = true;
        while (!stoppingToken.IsCancellationRequested)
        {
            var (news, pace) = (_local.News, Idle);
            try
            {
                var record = await LookAsync();
                if (_joined)
                {
                    Act(record);
                }

                pace = record.Change is { IsOpen: true } ? Soon : Idle;
                isRead = true;
            }
            catch (Exception error)
            {
                // Said once: it is tried again at once, and at the start nobody may hold the record yet.
                if (isRead && _joined)
                {
                    _log.LogWarning("It cannot be read which model is active, so that this silo takes part in no change of it: {Reason}", error.Message);
                }

                isRead = false;
            }

            await Task.WhenAny(news, Task.Delay(pace, stoppingToken));
        }

        await bundles;
    }

    private void Act(ActiveBundle record)
    {
        var work = _local.Work;

        // A silo that is ready switches in this moment: that is not to be behind.
        if (!IsOther(record))
        {
            _isBehind = false;
        }
        else if (work is not { IsReady: true })
        {
            _isBehind = true;
        }

        if (record.Change is { Phase: ChangePhase.Preparing } change)
        {
            if (change.Version != _models.Status.Active && change.Leader != _here.SiloAddress.ToParsableString() && !_local.HasRefused(change.Id) && _local.TryBegin(change.Id) is { } part)
            {
                _log.LogInformation("Gets ready for the model {Version}", change.Version);
                _ = Task.Run(() => _local.TakePartAsync(part, change.Version));
            }
        }
        else if (work is null && Lacks(record) && Environment.TickCount64 >= _retryAt)
        {
            _ = Task.Run(() => FollowAsync(record));
        }
    }

    private async Task FollowAsync(ActiveBundle record)
    {
        using var work = _local.TryBegin(change: null);
        if (work is null)
        {
            return;
        }

        try
        {
            _log.LogInformation(
                "The cluster has the models {Active} and, before it, {Previous}; this silo comes after it", record.Active ?? "none", record.Previous ?? "none");
            await _models.FollowAsync(new(record.Active, record.Previous), _local.CompleteAsync, work.Stop);
        }
        catch (OperationCanceledException) when (work.Stop.IsCancellationRequested)
        {
            // As this silo stops.
        }
        catch (Exception error)
        {
            _retryAt = Environment.TickCount64 + (long)(IsOther(record) ? Retry : RetryPrevious).TotalMilliseconds;
            _log.LogWarning("This silo does not have the models of the cluster, and tries again: {Reason}", error.Message);
        }
    }

    private bool IsOther(ActiveBundle record) => record.Active is { } active && active != _models.Status.Active;

    private bool Lacks(ActiveBundle record) => record.Active is not null && (IsOther(record) || record.Previous != _models.Status.Previous);

    private async Task<ActiveBundle> LookUntilAnsweredAsync(CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                return await GrainCall.TryAgainAsync(LookAsync, cancellation);
            }
            catch (StorageException error) when (error.Code == StorageException.Unavailable)
            {
                _log.LogInformation("Waits for a silo of the role entity, and for its blobs: {Reason}", error.Message);
                await Task.Delay(Retry, cancellation);
            }
        }
    }

    private async Task<ActiveBundle> LookAsync()
    {
        var report = _local.Report();
        var record = await Record.LookAsync(report);
        _local.Hear(report, record);
        return record;
    }

    /// <summary>Bundles that were stored while this silo was away: a later activation finds them here.</summary>
    private async Task FetchAllAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(Retry, stopping);
                if (_joined)
                {
                    await _bundles.FetchAllAsync(stopping);
                    return;
                }
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error)
            {
                _log.LogWarning("Not all bundles are here yet: {Reason}", error.Message);
            }
        }
    }
}
