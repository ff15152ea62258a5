using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using RecBackend.Cli.Up;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Core.Tests;
using RecBackend.Grains.Membership;

namespace RecBackend.Cluster.Tests.Membership;

public sealed class SilentSilosTests
{
    private static readonly SiloAddress Self = SiloAddress.New(IPAddress.Loopback, Loopback.FreePort(), 1);

    private readonly ManualTime _time = new();

    [Fact]
    public async Task Dead_silo_is_waited_for_until_its_sign_of_life_is_old()
    {
        var waiting = Wait(Entry(Loopback.FreePort(), SiloStatus.Active, age: 2));

        // Six seconds are fresh, and four of them are left.
        for (var passed = 0; passed < 4_000; passed += 250)
        {
            await NextWaitAsync(waiting);
            Assert.False(waiting.IsCompleted);
            _time.Advance(TimeSpan.FromMilliseconds(250));
        }

        await NextWaitAsync(waiting);
        _time.Advance(TimeSpan.FromMilliseconds(250));
        await waiting.WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task Nobody_else_is_waited_for()
    {
        using var alive = new TcpListener(IPAddress.Loopback, 0);
        alive.Start();

        await Wait(
            Entry(((IPEndPoint)alive.LocalEndpoint).Port, SiloStatus.Active, age: 0),
            Entry(Loopback.FreePort(), SiloStatus.Active, age: 7),
            Entry(Loopback.FreePort(), SiloStatus.Dead, age: 0),
            Entry(Loopback.FreePort(), SiloStatus.Joining, age: 0),
            Entry(Self.Endpoint.Port, SiloStatus.Active, age: 0)).WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task Silo_that_cannot_be_reached_but_lives_holds_nobody_up_for_ever()
    {
        var entry = Entry(Loopback.FreePort(), SiloStatus.Active, age: 0);
        var waiting = Wait(entry);

        for (var passed = 0; passed < 7_000; passed += 250)
        {
            await NextWaitAsync(waiting);
            Assert.False(waiting.IsCompleted);
            _time.Advance(TimeSpan.FromMilliseconds(250));
            entry.IAmAliveTime = _time.GetUtcNow().UtcDateTime;
        }

        await waiting.WaitAsync(TimeSpan.FromSeconds(30));
    }

    private Task Wait(params MembershipEntry[] entries)
    {
        var data = new MembershipTableData([.. entries.Select(entry => Tuple.Create(entry, "1"))], new TableVersion(1, "1"));
#pragma warning disable CS0618 // Later versions of 10.4 want ReadAllAsync, which 10.4.0 does not have.
        var table = Fake.Of<IMembershipTable>((method, _) => method.Name == nameof(IMembershipTable.ReadAll) ? Task.FromResult(data) : throw new NotSupportedException(method.Name));
#pragma warning restore CS0618
        var self = Fake.Of<ILocalSiloDetails>((_, _) => Self);
        var options = Options.Create(new ClusterMembershipOptions { IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(2), NumMissedTableIAmAliveLimit = 3 });
        return new SilentSilos(table, self, options, _time, NullLogger<SilentSilos>.Instance).WaitAsync(default);
    }

    private Task<Task> NextWaitAsync(Task waiting) => Task.WhenAny(_time.NextWaitAsync(), waiting).WaitAsync(TimeSpan.FromSeconds(30));

    private MembershipEntry Entry(int port, SiloStatus status, int age) => new()
    {
        SiloAddress = SiloAddress.New(IPAddress.Loopback, port, 1),
        Status = status,
        StartTime = _time.GetUtcNow().UtcDateTime.AddHours(-1),
        IAmAliveTime = _time.GetUtcNow().UtcDateTime.AddSeconds(-age),
    };
}
