using MessagePack;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Grains.Items;

namespace RecBackend.Cluster.Tests.Items;

/// <summary>A shard as version 0.1 left it, byte for byte: merged segments without an index, the header whole in the log. Made by <see cref="SampleWrites"/>.</summary>
public sealed class EarlierShardTests
{
    [Fact]
    public Task Shard_of_version_0_1_is_loaded_and_the_next_load_finds_an_index() => GrainTurns.RunAsync(async () =>
    {
        var bytes = await File.ReadAllBytesAsync(Path.Combine(AppContext.BaseDirectory, "Storage", "shard-0.1.bin"));
        var earlier = new ShardStore(MemoryStorage.Of(MessagePackSerializer.Deserialize<Dictionary<string, byte[]>>(bytes)));
        Assert.NotEmpty((await earlier.ManifestAsync()).Merged);
        var same = new ShardStore();
        var expected = await same.OpenAsync();
        await SampleWrites.WriteAsync(expected);

        var shard = await earlier.OpenAsync();
        await AssertSameAsync(expected, shard);
        await shard.Merging;
        Assert.Null(shard.Failure);
        var manifest = await earlier.ManifestAsync();
        Assert.Empty(manifest.Merged);
        Assert.NotEmpty(manifest.Index);
        await AssertSameAsync(expected, await earlier.OpenAsync());
    });

    private static async Task AssertSameAsync(ItemShard expected, ItemShard shard)
    {
        Assert.Equal(expected.Index.Items.Keys.Order(), shard.Index.Items.Keys.Order());
        foreach (var id in expected.Index.Items.Keys)
        {
            var (one, other) = ((await expected.ReadAsync(id))!.Record, (await shard.ReadAsync(id))!.Record);
            Assert.Equal((one.Content.Title, one.Content.Attributes["year"], one.Counters), (other.Content.Title, other.Content.Attributes["year"], other.Counters));
            Assert.Equal(one.Representations.Select(Text).Order(), other.Representations.Select(Text).Order());
        }

        // What was counted is known: batches, what was left out of them, what came alone, and that it closed its incarnation.
        var last = SampleWrites.Count - (SampleWrites.Count % 6) - 2;
        Assert.True(await shard.CountAsync(new(SampleWrites.Incarnation, last), [new("kept-0", 1_000, 0, 0)], []));
        Assert.False(await shard.CountAloneAsync(new(new(SampleWrites.Incarnation, last), "u", 1), [new("kept-0", 1_000, 0, 0)]));
        Assert.False(await shard.CountAloneAsync(SampleWrites.Alone with { UserVersion = 70 }, [new("kept-1", 1_000, 0, 0)]));
        Assert.False(await shard.CountAsync(SampleWrites.Alone.Batch, [new("kept-1", 1_000, 0, 0)], []));
        Assert.Equal((await expected.ReadAsync("kept-0"))!.Record.Counters, (await shard.ReadAsync("kept-0"))!.Record.Counters);
        Assert.True(shard.Version >= shard.Index.Items.Values.Max(item => item.Version));
    }

    private static string Text(Representation one) => $"{one.Bundle} {one.Source} {string.Join(' ', one.Values)}";
}
