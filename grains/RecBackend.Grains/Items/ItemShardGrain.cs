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

    public Task<ShardDigest[]> DigestsAsync() =>
        Task.FromResult(_shard.Digests.Index().Where(one => one.Item.Count > 0).Select(one => new ShardDigest(one.Index, one.Item.Count, one.Item.Hash)).ToArray());

    public Task<ShardVersions> VersionsAsync(int digest)
    {
        var (items, version) = _shard.VersionsOf(digest);
        return Task.FromResult(new ShardVersions { Ids = [.. items.Select(item => item.Key)], Versions = [.. items.Select(item => item.Value)], Version = version });
    }

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
