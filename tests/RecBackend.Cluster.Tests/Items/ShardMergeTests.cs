using System.Globalization;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Grains.Items;

namespace RecBackend.Cluster.Tests.Items;

/// <summary>What a merge leaves in storage, and what a load reads of it.</summary>
public sealed class ShardMergeTests
{
    private readonly ShardStore _store = new();

    [Fact]
    public Task Load_reads_the_index_and_the_log_after_it_but_no_content() => GrainTurns.RunAsync(async () =>
    {
        var shard = await _store.OpenAsync();
        await WriteAsync(shard, count: 300, bytes: 20_000);
        _store.Storage.Reads.Clear();
        var next = await _store.OpenAsync(cacheBytes: 1);
        Assert.Equal(300, next.Count);

        var manifest = await _store.ManifestAsync();
        Assert.All(_store.Storage.Reads, read => Assert.DoesNotContain(read.Name, manifest.Segments.Select(segment => $"items-itemmerged/1-{-segment.Number}")));
        Assert.InRange(_store.Storage.Reads.Sum(read => read.Bytes), 1, 70 * 20_000);

        // And what it did not read is there.
        foreach (var i in new[] { 0, 150, 299 })
        {
            Assert.Equal(20_000, (await next.ReadAsync($"i{i}"))!.Record.Content.Image!.Length);
        }
    });

    [Fact]
    public Task Representations_are_read_without_content() => GrainTurns.RunAsync(async () =>
    {
        var shard = await _store.OpenAsync(cacheBytes: 1);
        await WriteAsync(shard, count: 200, bytes: 20_000);
        _store.Storage.Reads.Clear();
        var item = (await shard.ReadAsync("i0", content: false))!.Record;
        Assert.Equal([0f], item.RepresentationFor("b1")!.Values);
        Assert.Null(item.Content.Image);
        Assert.InRange(_store.Storage.Reads.Sum(read => read.Bytes), 1, 20_000);
    });

    [Fact]
    public Task Blobs_stay_small_however_large_the_shard() => GrainTurns.RunAsync(async () =>
    {
        var shard = await _store.OpenAsync();
        await WriteAsync(shard, count: 150, bytes: 200_000);
        await WriteAsync(shard, count: 150, bytes: 200_001);
        Assert.All(_store.Storage.Names, name => Assert.InRange(_store.Storage.BytesOf(name), 1, ItemShard.SegmentBytes + 300_000));
    });

    [Fact]
    public Task Items_that_come_and_go_leave_nothing_but_rising_versions() => GrainTurns.RunAsync(async () =>
    {
        var shard = await _store.OpenAsync();
        var highest = 0L;
        for (var round = 0; round < 40; round++)
        {
            for (var i = 0; i < 20; i++)
            {
                var id = $"i{i}";
                var version = (await shard.UpsertAsync([ShardStore.Upsert(id, "x"), ShardStore.Upsert($"{round}-{i}", "x")]))[0];
                Assert.True(version > highest, "a version was given twice");
                highest = version;
                await shard.DeleteAsync([id, $"{round}-{i}"]);
                await shard.Merging;
            }

            if (round % 5 == 0)
            {
                shard = await _store.OpenAsync();
                Assert.Equal(0, shard.Count);
            }
        }

        Assert.True((await shard.UpsertAsync([ShardStore.Upsert("i0", "x")]))[0] > highest);
        await shard.DeleteAsync(["i0"]);

        // Until a merge that finds none of them.
        for (var trim = 0; trim < 70; trim++)
        {
            await shard.TrimAsync([$"b{trim}"]);
            await shard.Merging;
        }

        var manifest = await _store.ManifestAsync();
        Assert.Empty(manifest.Segments);
        Assert.InRange(manifest.Index.Length, 1, 40);
    });

    [Fact]
    public Task Small_segments_grow_together() => GrainTurns.RunAsync(async () =>
    {
        var shard = await _store.OpenAsync();
        await WriteAsync(shard, count: 4_000, bytes: 10);
        Assert.InRange((await _store.ManifestAsync()).Segments.Length, 1, 16);
        Assert.Equal(4_000, (await _store.OpenAsync()).Count);
    });

    [Fact]
    public Task Failed_deletion_neither_ends_the_shard_nor_is_forgotten() => GrainTurns.RunAsync(async () =>
    {
        var shard = await _store.OpenAsync();
        _store.Storage.FailsToDelete = _ => true;
        await WriteHoursAsync(shard);
        Assert.Null(shard.Failure);
        Assert.Contains("items-itemlog/1-1", _store.Storage.Names);

        _store.Storage.FailsToDelete = _ => false;
        await WriteHoursAsync(shard);
        Assert.DoesNotContain("items-itemlog/1-1", _store.Storage.Names);
    });

    [Fact]
    public Task Merge_that_was_cut_off_loses_nothing_and_leaves_nothing() => GrainTurns.RunAsync(async () =>
    {
        // Cut off at its first write, at its second, and so on up to the manifest.
        for (var writes = 1; writes <= 4; writes++)
        {
            var (merged, shard) = (0, await _store.OpenAsync());
            _store.Storage.Fault = name => !name.Contains("itemlog", StringComparison.Ordinal) && ++merged == writes ? WriteFault.After : WriteFault.None;
            await WriteAsync(shard, count: 200, bytes: 100);
            await shard.Merging;
            Assert.Null(shard.Failure);
            _store.Storage.Fault = _ => WriteFault.None;
            shard = await _store.OpenAsync();
            await WriteAsync(shard, count: 200, bytes: 100);
            Assert.Equal(200, (await _store.OpenAsync()).Count);
        }

        await WriteHoursAsync(await _store.OpenAsync());
        var manifest = await _store.ManifestAsync();
        var known = manifest.Segments.Select(segment => segment.Number).Concat(manifest.Index).Concat(manifest.Retired.Select(retired => retired.Segment)).ToHashSet();
        Assert.All(_store.Storage.Names.Where(name => name.Contains("itemmerged", StringComparison.Ordinal)), name => Assert.Contains(-long.Parse(name[(name.LastIndexOf('-') + 1)..], CultureInfo.InvariantCulture), known));
    });

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public Task Shard_goes_on_after_a_merge_that_failed_at(int write) => GrainTurns.RunAsync(async () =>
    {
        var (merged, shard) = (0, await _store.OpenAsync());
        _store.Storage.Fault = name => !name.Contains("itemlog", StringComparison.Ordinal) && ++merged == write ? WriteFault.Before : WriteFault.None;
        await WriteAsync(shard, count: 100, bytes: 100);
        Assert.True(merged >= write);

        // What the failed merge wrote is deleted by then, and what it had read is merged.
        for (var i = 0; i < 300; i++)
        {
            _store.Clock.Advance(TimeSpan.FromMinutes(1));
            await shard.UpsertAsync([ShardStore.Upsert("last", "x")]);
            await shard.Merging;
        }

        Assert.Null(shard.Failure);
        Assert.DoesNotContain("items-itemlog/1-1", _store.Storage.Names);
        foreach (var reader in new[] { shard, await _store.OpenAsync(cacheBytes: 1) })
        {
            for (var i = 0; i < 100; i++)
            {
                Assert.Equal(100, (await reader.ReadAsync($"i{i}"))!.Record.Content.Image!.Length);
            }
        }
    });

    [Fact]
    public Task Shards_of_a_silo_are_merged_a_few_at_once() => GrainTurns.RunAsync(async () =>
    {
        using var turns = new ShardTurns(merges: 1);
        var busy = await turns.MergeAsync(default);
        var shard = new ItemShard(_store.Segments(1 << 20), turns, _ => Task.CompletedTask, _store.Clock);
        await shard.LoadAsync(ShardStore.Shards);
        for (var i = 0; i < 200; i++)
        {
            await shard.UpsertAsync([ShardStore.Upsert($"i{i}", "x")]);
        }

        Assert.False(shard.Merging.IsCompleted);
        Assert.DoesNotContain(_store.Storage.Names, name => name.Contains("itemmerged", StringComparison.Ordinal));
        busy.Dispose();
        await shard.Merging;
        Assert.Null(shard.Failure);
        Assert.NotEmpty((await _store.ManifestAsync()).Segments);

        // A shard that ends does not wait for its turn.
        busy = await turns.MergeAsync(default);
        for (var i = 0; i < 100; i++)
        {
            await shard.UpsertAsync([ShardStore.Upsert($"i{i}", "x")]);
        }

        await shard.DisposeAsync();
        Assert.Null(shard.Failure);
        busy.Dispose();
    });

    [Fact]
    public Task Load_ends_when_it_is_given_up() => GrainTurns.RunAsync(async () =>
    {
        using var turns = new ShardTurns(loads: 1);
        using var busy = await turns.LoadAsync(default);
        using var cancellation = new CancellationTokenSource();
        var shard = new ItemShard(_store.Segments(1), turns, _ => Task.CompletedTask, _store.Clock);
        var load = shard.LoadAsync(ShardStore.Shards, cancellation.Token);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => load);
        Assert.Empty(_store.Storage.Reads);
    });

    private async Task WriteHoursAsync(ItemShard shard)
    {
        for (var i = 0; i < 300; i++)
        {
            _store.Clock.Advance(TimeSpan.FromMinutes(1));
            await shard.UpsertAsync([ShardStore.Upsert($"i{i % 200}", "x")]);
            await shard.Merging;
        }
    }

    private static async Task WriteAsync(ItemShard shard, int count, int bytes)
    {
        var image = new byte[bytes];
        for (var i = 0; i < count; i++)
        {
            // Not to be compressed away.
            new Random(i).NextBytes(image);
            await shard.UpsertAsync([new($"i{i}", new ItemContent { Image = [.. image] }, new("b1", [i], RepresentationSource.Computed))]);
            await shard.Merging;
        }
    }
}
