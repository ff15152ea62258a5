using System.Net;
using RecBackend.Grains.Placement;

namespace RecBackend.Cluster.Tests.Placement;

public sealed class ShardHomesTests
{
    [Theory]
    [InlineData(1, 3)]
    [InlineData(32, 1)]
    [InlineData(32, 3)]
    [InlineData(512, 7)]
    public void No_silo_has_more_than_its_part(int shards, int silos)
    {
        var homes = ShardHomes.Assign(shards, Silos(silos));
        Assert.Equal(shards, homes.Length);
        Assert.InRange(homes.CountBy(home => home).Max(one => one.Value), 1, (shards + silos - 1) / silos);
    }

    [Fact]
    public void Silos_that_are_named_in_another_order_get_the_same_shards()
    {
        var silos = Silos(5);
        Assert.Equal(ShardHomes.Assign(128, silos), ShardHomes.Assign(128, [.. silos.Reverse()]));
    }

    [Fact]
    public void A_silo_that_comes_takes_its_part_and_moves_little_else()
    {
        var silos = Silos(5);
        var before = ShardHomes.Assign(512, silos[..4]);
        var after = ShardHomes.Assign(512, silos);
        var moved = before.Zip(after).Count(one => !one.First.Equals(one.Second));

        // 102 or 103 are the part of each of five. With a remainder in place of a hash, four of five would move.
        Assert.InRange(after.Count(home => home.Equals(silos[4])), 95, 103);
        Assert.InRange(moved, 95, 512 / 5 * 3 / 2);
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
}
