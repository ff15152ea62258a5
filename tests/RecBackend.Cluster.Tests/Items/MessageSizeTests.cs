using Orleans.Concurrency;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Items;
using RecBackend.Grains.Items;

namespace RecBackend.Cluster.Tests.Items;

/// <summary>Messages between silos stay small, however large what they carry.</summary>
public sealed class MessageSizeTests
{
    private const int Picture = 1_000_000;

    private readonly List<int> _sent = [];

    [Fact]
    public async Task Write_of_many_pictures_is_sent_in_parts_that_come_in_order()
    {
        var (sending, version) = (0, 0L);
        var shard = Fake.Of<IItemShardGrain>((_, arguments) => SendAsync(((Immutable<UpsertMessage[]>)arguments[0]!).Value.Length));
        var items = new GrainItemDirectory(new ItemShards(Fake.Grains((_, _) => shard), 1), null!);
        var versions = await items.UpsertAsync([.. Enumerable.Range(0, 12).Select(i => new ItemUpsert($"i{i}", new ItemContent { Image = new byte[Picture] }, null))], default);
        Assert.Equal(Enumerable.Range(1, 12).Select(one => (long)one), versions);
        Assert.Equal([5, 5, 2], _sent);

        async Task<long[]> SendAsync(int count)
        {
            Assert.Equal(1, Interlocked.Increment(ref sending));
            await Task.Yield();
            _sent.Add(count);
            Interlocked.Decrement(ref sending);
            return [.. Enumerable.Range(0, count).Select(_ => ++version)];
        }
    }

    [Fact]
    public Task Items_are_read_on_until_all_have_come() => GrainTurns.RunAsync(async () =>
    {
        // A shard that answers with three at a time.
        var shard = Fake.Of<IItemShardGrain>((_, arguments) =>
        {
            _sent.Add(((string[])arguments[0]!).Length);
            return Task.FromResult(((string[])arguments[0]!).Take(3).Select(id => id == "i4" ? null : Reading(id)).ToArray());
        });
        var shards = new ItemShards(Fake.Grains((_, _) => shard), 1);
        var read = await shards.ReadAsync([.. Enumerable.Range(0, 8).Select(i => $"i{i}")], content: false, default);
        Assert.Equal(["i0", "i1", "i2", "i3", null, "i5", "i6", "i7"], read.Select(item => item?.Id));
        Assert.Equal([8, 5, 2], _sent);
    });

    [Fact]
    public void Ids_come_in_parts_each_once_whatever_is_written_meanwhile()
    {
        var items = Enumerable.Range(0, 200_000).ToDictionary(i => $"item-of-a-long-name-{i}", i => new IndexedItem { ContentVersion = i + 1 });
        var (seen, calls) = (new HashSet<string>(), 0);
        for (int? from = 0; from is { } part; calls++)
        {
            var some = ShardIds.Of(items, part);
            Assert.InRange(some.Ids.Sum(id => 2L * id.Length), 0, MessageSize.Most + 100_000);
            Assert.All(some.Ids, id => Assert.True(seen.Add(id), "an ID came twice"));
            Assert.All(some.Ids.Zip(some.Ranks), one => Assert.Equal(items[one.First].ContentVersion, one.Second));
            from = some.Next;

            // Written anew, and some that are new: no matter.
            items = items.ToDictionary(item => item.Key, item => new IndexedItem { ContentVersion = item.Value.ContentVersion + 1_000_000 });
            items.Add($"new-{calls}", new());
        }

        Assert.True(calls > 1);
        Assert.Equal(200_000, seen.Count(id => !id.StartsWith("new-", StringComparison.Ordinal)));
    }

    private static ItemReading Reading(string id) => new() { Id = id, Content = new(), Representations = [] };
}
