using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.Storage;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Placement;
using RecBackend.Grains.Storage;

namespace RecBackend.Grains.Items;

/// <inheritdoc cref="IItemShardGrain"/>
[Reentrant, OnEntitySilos]
internal sealed class ItemShardGrain : Grain, IItemShardGrain
{
    private readonly ItemShard _shard;
    private readonly int _shards;

    public ItemShardGrain(
        [FromKeyedServices(GrainStorageName.Value)] IGrainStorage storage, SegmentCache cache, IItemChangeSink changes, EngineClock clock)
    {
        (var shard, _shards) = ItemShards.Parse(this.GetPrimaryKeyLong());
        _shard = new(new(storage, cache, shard), changes.TellAsync, clock.Time);
    }

    public override Task OnActivateAsync(CancellationToken cancellationToken) => _shard.LoadAsync(_shards);

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => _shard.CloseAsync();

    public async Task<ItemReading?[]> GetAsync(string[] ids) => [.. (await _shard.ReadAsync(ids)).Select(state => state is null ? null : ItemReading.Of(state.Record))];

    public Task<bool[]> ExistAsync(string[] ids) => Task.FromResult(Array.ConvertAll(ids, _shard.Exists));

    public Task<long[]> UpsertAsync(Immutable<UpsertMessage[]> upserts) => WriteAsync(_shard.UpsertAsync([.. upserts.Value.Select(one => one.ToUpsert())]));

    public Task<bool[]> SetRepresentationsAsync(Immutable<RepresentationMessage[]> updates) =>
        WriteAsync(_shard.SetRepresentationsAsync([.. updates.Value.Select(one => one.ToUpdate())]));

    public Task<bool[]> DeleteAsync(string[] ids) => WriteAsync(_shard.DeleteAsync(ids));

    public Task TrimAsync(string[] keep) => WriteAsync(_shard.TrimAsync(keep));

    public Task<bool> CountAsync(CountBatch batch, Immutable<ItemCount[]> counts, string[] leftOut) => WriteAsync(_shard.CountAsync(batch, counts.Value, leftOut));

    public Task CountAloneAsync(UserOfBatch part, Immutable<ItemCount[]> counts) => WriteAsync(_shard.CountAloneAsync(part, counts.Value));

    public Task<string[]> IdsAsync() => Task.FromResult(_shard.Ids.ToArray());

    public Task<ShardState> CompareAsync(long? since) => Task.FromResult(new ShardState
    {
        Digests = [.. _shard.Digests.Index().Where(one => one.Item.Count > 0).Select(one => new ShardDigest(one.Index, one.Item.Count, one.Item.Hash))],
        Changed = ShardVersions.Of(since is { } version ? _shard.ChangedSince(version) : [], _shard.Version),
        Deleted = since is { } after ? [.. _shard.DeletedSince(after).Select(deletion => deletion.Key)] : [],
    });

    public Task<ShardVersions> VersionsAsync(int digest) => Task.FromResult(ShardVersions.Of(_shard.VersionsOf(digest), _shard.Version));

    public Task<long> CountItemsAsync() => Task.FromResult((long)_shard.Count);

    /// <summary>A shard that has failed knows no more what is stored: the next activation reads it.</summary>
    private async Task<TResult> WriteAsync<TResult>(Task<TResult> write)
    {
        try
        {
            return await write;
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
