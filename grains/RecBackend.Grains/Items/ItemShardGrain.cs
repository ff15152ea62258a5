using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Storage;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Placement;
using RecBackend.Grains.Storage;

namespace RecBackend.Grains.Items;

/// <inheritdoc cref="IItemShardGrain"/>
[Reentrant, OnEntitySilos, AtShardHome]
internal sealed class ItemShardGrain : Grain, IItemShardGrain, IAsyncDisposable
{
    // Items that are read at once: their segments are fetched beside each other. Contents may be pictures.
    private const int ContentsAtOnce = 8;
    private const int RowsAtOnce = 512;

    private readonly ItemShard _shard;
    private readonly int _number;
    private readonly int _shards;
    private readonly ShardHomes _homes;
    private readonly TimeSpan _settle;
    private bool _held;
    private bool _moving;

    public ItemShardGrain(
        [FromKeyedServices(GrainStorageName.Value)] IGrainStorage storage, SegmentCache cache, ShardTurns turns, IItemChangeSink changes, EngineClock clock, ShardHomes homes,
        ClusterEngineOptions options, ILogger<ItemShard> log)
    {
        (_number, _shards) = ItemShards.Parse(this.GetPrimaryKeyLong());
        (_homes, _settle) = (homes, options.ShardsSettle);
        _shard = new(new(storage, cache, _number), turns, changes.TellAsync, clock.Time, log);
    }

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        await _shard.LoadAsync(_shards, cancellationToken);

        // Given up meanwhile: nobody would let it go again.
        cancellationToken.ThrowIfCancellationRequested();
        _homes.Hold(1);
        _held = true;

        // Often, since only one shard of a silo moves at a time, and from a moment of its own on.
        var pause = _settle / 20;
        this.RegisterGrainTimer(MoveIfAway, new GrainTimerCreationOptions { DueTime = pause * Random.Shared.NextDouble(), Period = pause, Interleave = true });
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => LetGoAsync().AsTask();

    /// <summary>The last thing that is called: where the shard moves, it has been loaded there.</summary>
    public ValueTask DisposeAsync()
    {
        if (_moving)
        {
            _homes.EndMove();
            _moving = false;
        }

        return LetGoAsync();
    }

    public Task<ItemReading?[]> ReadAsync(string[] ids, bool content) => OrEndAsync(ReadUpToAsync(ids, content));

    public Task<bool[]> ExistAsync(string[] ids) => Task.FromResult(Array.ConvertAll(ids, _shard.Exists));

    public Task<long[]> UpsertAsync(Immutable<UpsertMessage[]> upserts) => OrEndAsync(_shard.UpsertAsync([.. upserts.Value.Select(one => one.ToUpsert())]));

    public Task<bool[]> SetRepresentationsAsync(Immutable<RepresentationMessage[]> updates) =>
        OrEndAsync(_shard.SetRepresentationsAsync([.. updates.Value.Select(one => one.ToUpdate())]));

    public Task<bool[]> DeleteAsync(string[] ids) => OrEndAsync(_shard.DeleteAsync(ids));

    public Task TrimAsync(string[] keep) => OrEndAsync(_shard.TrimAsync(keep));

    public Task<bool> CountAsync(CountBatch batch, Immutable<ItemCount[]> counts, string[] leftOut) => OrEndAsync(_shard.CountAsync(batch, counts.Value, leftOut));

    public Task<bool> CountAloneAsync(UserOfBatch part, Immutable<ItemCount[]> counts) => OrEndAsync(_shard.CountAloneAsync(part, counts.Value));

    public Task<ShardIds> IdsAsync(int from) => Task.FromResult(ShardIds.Of(_shard.Index.Items, from));

    public Task<ShardState> CompareAsync(long? since) => Task.FromResult(new ShardState
    {
        Digests = [.. _shard.Index.Digests.Index().Where(one => one.Item.Count > 0).Select(one => new ShardDigest(one.Index, one.Item.Count, one.Item.Hash))],
        Changed = ShardVersions.Of(since is { } version ? _shard.Index.ChangedSince(version) : [], _shard.Version),
        Deleted = since is { } after ? [.. _shard.Index.DeletedSince(after)] : [],
    });

    public Task<ShardVersions> VersionsAsync(int digest) => Task.FromResult(ShardVersions.Of(_shard.Index.VersionsOf(digest), _shard.Version));

    public Task<long> CountItemsAsync() => Task.FromResult((long)_shard.Count);

    private ValueTask LetGoAsync()
    {
        if (_held)
        {
            _homes.Hold(-1);
            _held = false;
        }

        return _shard.DisposeAsync();
    }

    private Task MoveIfAway(CancellationToken cancellation)
    {
        // A merge would begin anew elsewhere, and the load before it would read what it merges.
        if (!_moving && _shard.Merging.IsCompleted && _homes.ShouldMove(GrainContext.Address.SiloAddress!, _number, _settle) && _homes.TryBeginMove())
        {
            _moving = true;
            MigrateOnIdle();
        }

        return Task.CompletedTask;
    }

    private async Task<ItemReading?[]> ReadUpToAsync(string[] ids, bool content)
    {
        var (items, bytes) = (new List<ItemReading?>(), 0L);
        foreach (var some in ids.Chunk(content ? ContentsAtOnce : RowsAtOnce))
        {
            foreach (var state in await Task.WhenAll(some.Select(id => _shard.ReadAsync(id, content).AsTask())))
            {
                var item = state is null ? null : ItemReading.Of(state.Record);
                items.Add(item);
                bytes += item?.Size() ?? 0;
                if (bytes >= MessageSize.Most)
                {
                    return [.. items];
                }
            }
        }

        return [.. items];
    }

    /// <summary>A shard that has failed knows no more what is stored: the next activation reads it.</summary>
    private async Task<TResult> OrEndAsync<TResult>(Task<TResult> call)
    {
        try
        {
            return await call;
        }
        finally
        {
            if (_shard.Failure is not null)
            {
                DeactivateOnIdle();
            }
        }
    }
}
