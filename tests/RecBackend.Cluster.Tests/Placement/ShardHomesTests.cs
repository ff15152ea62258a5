using System.Net;
using RecBackend.Grains.Placement;

namespace RecBackend.Cluster.Tests.Placement;

public sealed class ShardHomesTests
{
    [Theory]
    [InlineData(1, 3)]
    [InlineData(32, 1)]
    [InlineData(32, 3)]
    [InlineData(32, 7)]
    [InlineData(32, 10)]
    [InlineData(512, 7)]
    public void Silos_have_equal_parts_but_for_one_shard(int shards, int silos)
    {
        var all = Silos(silos);
        var homes = ShardHomes.Assign(shards, all);
        Assert.Equal(shards, homes.Length);
        Assert.All(all, silo => Assert.InRange(homes.Count(home => home.Equals(silo)), shards / silos, (shards + silos - 1) / silos));
    }

    [Fact]
    public void Silos_that_are_named_in_another_order_get_the_same_shards()
    {
        var silos = Silos(5);
        Assert.Equal(ShardHomes.Assign(128, silos), ShardHomes.Assign(128, [.. silos.Reverse()]));
    }

    /// <summary>With a remainder in place of a hash, nearly all of them would move.</summary>
    [Theory]
    [InlineData(32, 2)]
    [InlineData(32, 8)]
    [InlineData(32, 15)]
    [InlineData(512, 4)]
    public void A_silo_that_comes_leaves_most_shards_where_they_are(int shards, int silos)
    {
        var all = Silos(silos + 1);
        var moved = ShardHomes.Assign(shards, all[..silos]).Zip(ShardHomes.Assign(shards, all)).Count(one => !one.First.Equals(one.Second));
        Assert.InRange(moved, shards / (silos + 1), shards / 2);
    }

    [Fact]
    public void Shards_move_when_the_silos_have_been_the_same_for_long_enough()
    {
        var clock = new StoppedClock();
        var silos = Silos(2);
        var there = silos[..1];
        var homes = new ShardHomes(() => there, shards: 8, clock);
        Assert.All(Enumerable.Range(0, 8), shard => Assert.Equal(silos[0], homes.Of(shard)));

        there = silos;
        var away = Enumerable.Range(0, 8).Where(shard => !homes.Of(shard)!.Equals(silos[0])).ToList();
        Assert.Equal(4, away.Count);
        clock.Now += TimeSpan.FromSeconds(59);
        Assert.Empty(Leaving());
        clock.Now += TimeSpan.FromSeconds(1);
        Assert.Equal(away, Leaving());

        // Another change, and the minute begins anew.
        there = silos[1..];
        Assert.Empty(Leaving());
        there = [];
        Assert.Null(homes.Of(0));
        clock.Now += TimeSpan.FromMinutes(2);
        Assert.Empty(Leaving());

        int[] Leaving() => [.. Enumerable.Range(0, 8).Where(shard => homes.ShouldMove(silos[0], shard, TimeSpan.FromMinutes(1)))];
    }

    [Fact]
    public void One_shard_of_a_silo_moves_at_a_time()
    {
        var homes = new ShardHomes(() => [], shards: 8, TimeProvider.System);
        Assert.True(homes.TryBeginMove());
        Assert.False(homes.TryBeginMove());
        homes.EndMove();
        Assert.True(homes.TryBeginMove());
    }

    [Fact]
    public void A_silo_that_starts_again_at_its_address_gets_its_shards_back()
    {
        var silos = Silos(3);
        var again = SiloAddress.New(silos[1].Endpoint, 7);
        var before = ShardHomes.Assign(64, silos);
        var after = ShardHomes.Assign(64, [silos[0], again, silos[2]]);
        Assert.Equal(before.Select(home => home.Endpoint), after.Select(home => home.Endpoint));
    }

    private static SiloAddress[] Silos(int count) => [.. Enumerable.Range(1, count).Select(i => SiloAddress.New(new IPEndPoint(new IPAddress([10, 0, 0, (byte)i]), 11111), 1))];

    private sealed class StoppedClock : TimeProvider
    {
        public TimeSpan Now { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
