using System.Net;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Tests;
using RecBackend.Grains.Models;

namespace RecBackend.Cluster.Tests.Models;

/// <summary>Which scoring silo encodes what.</summary>
public sealed class EncodingDutyTests
{
    private readonly ManualTime _time = new();
    private Dictionary<SiloAddress, string> _active = [];

    [Fact]
    public void Each_item_is_one_silos_and_each_silo_has_its_share()
    {
        SiloAddress[] silos = [Silo(1), Silo(2), Silo(3)];
        _active = silos.ToDictionary(silo => silo, silo => $"{silo}");
        var duties = Array.ConvertAll(silos, Duty);
        var owners = Enumerable.Range(0, 3_000).Select(item => Enumerable.Range(0, 3).Single(silo => duties[silo].IsMine($"i{item}"))).ToList();
        Assert.All(owners.CountBy(owner => owner), share => Assert.InRange(share.Value, 800, 1_200));
    }

    [Fact]
    public void Items_of_a_silo_that_left_are_taken_over()
    {
        _active = new() { [Silo(1)] = "1", [Silo(2)] = "2" };
        var duty = Duty(Silo(1));
        Assert.Contains(false, Enumerable.Range(0, 100).Select(item => duty.IsMine($"i{item}")));

        _active = new() { [Silo(1)] = "1" };
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.All(Enumerable.Range(0, 100), item => Assert.True(duty.IsMine($"i{item}")));
    }

    private EncodingDuty Duty(SiloAddress here) => new(
        Fake.Of<IScoringSilos>((method, _) => method.Name == $"get_{nameof(IScoringSilos.Active)}" ? _active : throw new NotSupportedException(method.Name)),
        Fake.Of<ILocalSiloDetails>((_, _) => here),
        _time);

    private static SiloAddress Silo(int number) => SiloAddress.New(IPAddress.Loopback, 11_000 + number, 1);
}
