using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Net;
using System.Threading.Channels;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Users;

namespace RecBackend.Cluster.Tests.Counting;

/// <summary>Whom a silo wakes when another one is dead: those whose counts that one had not sent.</summary>
public sealed class RosterBookTests : IAsyncLifetime
{
    private static readonly SiloAddress Here = Silo(1);
    private static readonly SiloAddress There = Silo(2);
    private static readonly SiloAddress Elsewhere = Silo(3);
    private static readonly CountBatch First = new(Guid.NewGuid(), 1);

    private readonly Channel<ClusterMembershipSnapshot> _snapshots = Channel.CreateUnbounded<ClusterMembershipSnapshot>();
    private readonly ConcurrentDictionary<string, int> _woken = new();
    private readonly ConcurrentDictionary<string, int> _failing = new();
    private readonly Channel<string> _wakes = Channel.CreateUnbounded<string>();
    private readonly RosterBook _book;
    private ClusterMembershipSnapshot _current = new(ImmutableDictionary<SiloAddress, ClusterMember>.Empty, default);
    private long _version;

    public RosterBookTests()
    {
        var membership = Fake.Of<IClusterMembershipService>((method, _) => method.Name switch
        {
            $"get_{nameof(IClusterMembershipService.MembershipUpdates)}" => _snapshots.Reader.ReadAllAsync(),
            $"get_{nameof(IClusterMembershipService.CurrentSnapshot)}" => _current,
            _ => throw new NotSupportedException(method.Name),
        });
        var grains = Fake.Grains((_, user) => Fake.Of<IUserGrain>((method, _) => method.Name == nameof(IUserGrain.ReadAsync) ? WakeAsync((string)user) : throw new NotSupportedException(method.Name)));
        _book = new(grains, membership, NullLogger<RosterBook>.Instance);
        _book.Start();
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _book.DisposeAsync();

    [Fact]
    public async Task Users_of_batches_that_a_dead_silo_has_not_sent_are_woken_once()
    {
        _book.Note(There, [new(First, "sent"), new(First, "both"), new(First with { Number = 2 }, "both"), new(First with { Number = 2 }, "unsent")]);
        _book.Note(There, [new(First with { Number = 2 }, "unsent"), new(new(Guid.NewGuid(), 1), "other incarnation")]);
        _book.Note(Elsewhere, [new(new(Guid.NewGuid(), 1), "of the living")]);
        _book.Note(There, [new(First with { Number = 4 }, "sent"), new(First with { Number = 3 }, "waits")]);
        _book.Forget(There, First, through: 1);
        _book.Forget(There, First with { Number = 4 }, through: 1);
        _book.Forget(Silo(9), First, through: 1);

        Publish((Here, SiloStatus.Active), (There, SiloStatus.Active), (Elsewhere, SiloStatus.Active));
        Publish((Here, SiloStatus.Active), (There, SiloStatus.Dead), (Elsewhere, SiloStatus.Active));
        await WokenAsync(4);

        // The next death is seen after all of the one before was dealt with.
        Publish((Here, SiloStatus.Active), (There, SiloStatus.Dead), (Elsewhere, SiloStatus.Dead));
        await WokenAsync(1);
        Assert.Equal(["both", "of the living", "other incarnation", "unsent", "waits"], _woken.Keys.Order());
        Assert.All(_woken.Values, times => Assert.Equal(1, times));
    }

    [Fact]
    public async Task User_that_does_not_wake_at_once_is_tried_again_and_holds_nobody_up()
    {
        _failing["slow"] = 2;
        _failing["lost"] = int.MaxValue;
        _book.Note(There, [new(First, "slow"), new(First, "lost"), new(First, "quick")]);
        _book.Note(Elsewhere, [new(First, "next")]);
        Publish((There, SiloStatus.Dead), (Elsewhere, SiloStatus.Active));
        Publish((There, SiloStatus.Dead), (Elsewhere, SiloStatus.Dead));
        await WokenAsync(3);
        Assert.Equal(["next", "quick", "slow"], _woken.Keys.Order());
    }

    [Fact]
    public async Task Note_that_arrives_after_the_death_was_seen_wakes_its_users_too()
    {
        Publish((Here, SiloStatus.Active), (There, SiloStatus.Dead));
        _book.Note(There, [new(First, "late")]);
        await WokenAsync(1);
        Assert.Equal(["late"], _woken.Keys);
    }

    private async Task<UserReading> WakeAsync(string user)
    {
        await Task.Yield();
        if (_failing.TryGetValue(user, out var times) && times > 0)
        {
            _failing[user] = times - 1;
            throw new TimeoutException();
        }

        _woken.AddOrUpdate(user, 1, (_, woken) => woken + 1);
        _wakes.Writer.TryWrite(user);
        return new() { Attributes = [], History = [] };
    }

    private async Task WokenAsync(int users)
    {
        for (; users > 0; users--)
        {
            await _wakes.Reader.ReadAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(1));
        }
    }

    private void Publish(params (SiloAddress Silo, SiloStatus Status)[] silos)
    {
        _current = new(silos.ToImmutableDictionary(silo => silo.Silo, silo => new ClusterMember(silo.Silo, silo.Status, $"{silo.Silo}")), new(++_version));
        Assert.True(_snapshots.Writer.TryWrite(_current));
    }

    private static SiloAddress Silo(int number) => SiloAddress.New(IPAddress.Loopback, 11_000 + number, 1);
}
