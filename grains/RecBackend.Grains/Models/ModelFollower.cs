using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;

namespace RecBackend.Grains.Models;

/// <summary>Keeps this silo at the model that is on record: at its start, and whenever it has missed a change.</summary>
public sealed class ModelFollower : BackgroundService
{
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(3);

    private readonly ClusterModels _cluster;
    private readonly SiloModels _local;
    private readonly ModelDirectory _models;
    private readonly ISharedBundles _bundles;
    private readonly ILogger _log;
    private volatile bool _isBehind;

    internal ModelFollower(ClusterModels cluster, SiloModels local, ModelDirectory models, ISharedBundles bundles, ILogger<ModelFollower> log) =>
        (_cluster, _local, _models, _bundles, _log) = (cluster, local, models, bundles, log);

    /// <summary>Whether this silo has another model than the cluster, and could not change that yet.</summary>
    public bool IsBehind => _isBehind;

    /// <summary>Learns which bundle answers, before the models are started. Waits for an entity silo, which may start later than this one.</summary>
    public async Task LearnAsync(CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                var record = await _cluster.ReadAsync(cancellation);
                _bundles.WriteActive(new(record.Active, record.Previous));
                return;
            }
            catch (StorageException error) when (error.Code == StorageException.Unavailable)
            {
                _log.LogInformation("Waits for a silo of the role entity, and for its blobs: {Reason}", error.Message);
                await Task.Delay(Every, cancellation);
            }
        }
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var isComplete = false;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(Every * (0.75 + (0.5 * Random.Shared.NextDouble())), stoppingToken);
                if (_models.Status.Ready)
                {
                    await FollowAsync(stoppingToken);
                    if (!isComplete)
                    {
                        await _bundles.FetchAllAsync(stoppingToken);
                        isComplete = true;
                    }
                }
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error)
            {
                _log.LogWarning("This silo does not have the model of the cluster, or not all bundles, and tries again: {Reason}", error.Message);
            }
        }
    }

    private async Task FollowAsync(CancellationToken cancellation)
    {
        var record = await _cluster.ReadAsync(cancellation);
        if (record.Active is not { } active || active == _models.Status.Active || _local.IsChanging)
        {
            _isBehind = false;
            return;
        }

        _isBehind = true;
        _log.LogWarning("The cluster has the model {Active}, this silo {Own}: it follows", active, _models.Status.Active ?? "none");
        await _models.ActivateAsync(active, new JobProgress(), cancellation);
        _isBehind = false;
    }
}
