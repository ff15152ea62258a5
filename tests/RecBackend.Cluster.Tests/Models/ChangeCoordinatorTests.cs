using System.Net;
using RecBackend.Core.Tests;
using RecBackend.Grains.Models;

namespace RecBackend.Cluster.Tests.Models;

public sealed class ChangeCoordinatorTests
{
    private readonly Silos _silos = new();
    private readonly ManualClock _clock = new();
    private readonly SiloAddress _a;
    private readonly SiloAddress _b;
    private readonly SiloAddress _c;
    private readonly Guid _id = Guid.NewGuid();
    private ChangeCoordinator _coordinator;
    private ActiveBundle _record = new() { Active = "one", Previous = "zero" };
    private long _number;

    public ChangeCoordinatorTests()
    {
        _coordinator = new(_silos, _clock);
        (_a, _b, _c) = (_silos.Add("a"), _silos.Add("b"), _silos.Add("c"));
        foreach (var silo in new[] { _a, _b, _c })
        {
            Idle(silo);
        }
    }

    [Fact]
    public void Change_is_decided_when_every_silo_is_ready_and_not_before()
    {
        Assert.Null(Begin(_a, "two"));
        Working(_a);
        Assert.Equal(ChangePhase.Encoding, Phase);
        Ready(_a);
        Assert.Equal(ChangePhase.Preparing, Phase);
        Working(_b);
        Ready(_c);
        Assert.Equal((ChangePhase.Preparing, "one"), (Phase, _record.Active));
        Ready(_b);
        Assert.Equal((ChangePhase.Decided, "two", "one"), (Phase, _record.Active, _record.Previous));

        Idle(_a, "two");
        Idle(_b, "two");
        Assert.Equal(ChangePhase.Decided, Phase);
        Idle(_c, "two");
        Assert.Equal(ChangePhase.Switched, Phase);
        _record = _coordinator.Close(_record, _id);
        Assert.Equal(ChangePhase.Closed, Phase);
    }

    [Fact]
    public void Silo_that_joins_late_in_a_change_has_its_time_too()
    {
        Begin(_a, "two");
        Ready(_a);
        Working(_b);
        Working(_c);
        _clock.Advance(ChangeCoordinator.Patience - TimeSpan.FromSeconds(1));
        Working(_a);
        Working(_b);
        Working(_c);
        _clock.Advance(TimeSpan.FromSeconds(2));
        var late = _silos.Add("late");
        Ready(_a);
        Ready(_b);
        Ready(_c);
        Assert.Equal(ChangePhase.Preparing, Phase);
        Ready(late);
        Assert.Equal(ChangePhase.Decided, Phase);
    }

    [Fact]
    public void Silo_that_the_membership_does_not_show_yet_is_waited_for()
    {
        Begin(_a, "two");
        Ready(_a);
        var joining = Silos.Address(9);
        Idle(joining, "one");
        Ready(_b);
        Ready(_c);
        Assert.Equal(ChangePhase.Preparing, Phase);
        Ready(joining);
        Assert.Equal(ChangePhase.Decided, Phase);
    }

    [Fact]
    public void Silo_that_does_not_rank_yet_holds_nothing_up()
    {
        Begin(_a, "two");
        Ready(_a);
        var starting = _silos.Add("starting");
        Look(new() { Silo = starting, Name = "starting", Number = ++_number, Serves = false });
        Ready(_b);
        Ready(_c);
        Assert.Equal(ChangePhase.Decided, Phase);
    }

    [Fact]
    public void Silo_that_has_never_reported_is_waited_for()
    {
        Begin(_a, "two");
        Ready(_a);
        _silos.Add("silent");
        Ready(_b);
        Ready(_c);
        Assert.Equal(ChangePhase.Preparing, Phase);
    }

    [Fact]
    public void Refusal_of_one_silo_ends_the_change_for_all()
    {
        Begin(_a, "two");
        Ready(_a);
        Ready(_b);
        Look(Report(_c) with { Change = _id, Refusal = new("bundle_golden_mismatch", "no", IsOfBundle: true) });
        Assert.Equal((ChangePhase.GivenUp, "one", "zero"), (Phase, _record.Active, _record.Previous));
        Assert.Equal(new ModelRefusal("bundle_golden_mismatch", "c: no", IsOfBundle: true), _record.Change!.Refusal);

        // What it said of that change is not said of the next.
        _record = Opened(_b, "three");
        Assert.Equal(ChangePhase.Encoding, Phase);
        Look(Report(_c) with { Change = _id, Refusal = new("bundle_golden_mismatch", "no", IsOfBundle: true) });
        Look(Report(_b) with { Change = _record.Change!.Id, IsReady = true });
        Look(Report(_a));
        Assert.Equal(ChangePhase.Preparing, Phase);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Death_of_the_leader_before_the_decision_ends_the_change(bool preparing)
    {
        Begin(_a, "two");
        if (preparing)
        {
            Ready(_a);
            Ready(_b);
        }

        _silos.Kill(_a);
        Idle(_c);
        Assert.Equal((ChangePhase.GivenUp, "one"), (Phase, _record.Active));
        Assert.Equal(ChangePhase.Encoding, Opened(_b, "two").Change!.Phase);
    }

    [Fact]
    public void Death_of_the_leader_after_the_decision_changes_nothing_about_it()
    {
        Decide();
        _silos.Kill(_a);
        Ready(_b);
        Assert.Equal((ChangePhase.Closed, "two", "one"), (Phase, _record.Active, _record.Previous));
        Assert.True(_record.Change!.IsDecided);
        Assert.Equal(ChangePhase.Encoding, Opened(_b, "three").Change!.Phase);
    }

    [Fact]
    public void Silo_that_does_not_switch_does_not_keep_the_change_open()
    {
        Decide();
        _clock.Advance(ChangeCoordinator.Patience);
        Idle(_a, "two");
        Idle(_b, "two");
        _record = _coordinator.Look(_record, Report(_a) with { Change = _id, Active = "two" });
        Idle(_c);
        Assert.Equal(ChangePhase.Decided, Phase);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Idle(_c);
        Assert.Equal((ChangePhase.Switched, "two"), (Phase, _record.Active));
    }

    [Fact]
    public void Decision_cannot_be_taken_back()
    {
        Decide();
        _record = _coordinator.GiveUp(_record, _id);
        Assert.Equal((ChangePhase.Decided, "two"), (Phase, _record.Active));
    }

    [Fact]
    public void Leader_that_lives_and_works_at_nothing_is_not_waited_for()
    {
        Begin(_a, "two");
        Working(_a);
        _clock.Advance(ChangeCoordinator.Patience);
        Working(_a);
        _clock.Advance(ChangeCoordinator.Patience);
        Idle(_a);
        Assert.Equal(ChangePhase.Encoding, Phase);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Idle(_a);
        Assert.Equal(ChangePhase.GivenUp, Phase);
    }

    [Fact]
    public void Silo_that_says_nothing_ends_the_change_by_name()
    {
        Begin(_a, "two");
        Ready(_a);
        Ready(_b);
        _clock.Advance(ChangeCoordinator.Patience);
        Ready(_a);
        Ready(_b);
        Assert.Equal(ChangePhase.Preparing, Phase);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Ready(_a);
        Assert.Equal(ChangePhase.GivenUp, Phase);
        Assert.StartsWith("c: ", _record.Change!.Refusal!.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void Silo_that_dies_meanwhile_holds_nothing_up()
    {
        Begin(_a, "two");
        Ready(_a);
        Ready(_b);
        _silos.Kill(_c);
        Ready(_a);
        Assert.Equal(ChangePhase.Decided, Phase);
    }

    [Fact]
    public void Second_change_is_refused_and_the_same_one_again_is_not()
    {
        Begin(_a, "two");
        Assert.Equal("activation_in_progress", _coordinator.Begin(_record, new(Guid.NewGuid(), _b, "three", null)).Refusal?.Code);
        Assert.Null(Begin(_a, "two"));
        Assert.Equal("two", _record.Change!.Version);
    }

    [Fact]
    public void Rollback_that_another_change_came_before_is_refused()
    {
        var rollback = new ModelChange(Guid.NewGuid(), _a, "zero", From: "one");
        Assert.Null(_coordinator.Begin(_record, rollback).Refusal);
        Assert.Equal("rollback_unavailable", _coordinator.Begin(_record with { Active = "two", Previous = "one" }, rollback).Refusal?.Code);
        Assert.Equal("rollback_unavailable", _coordinator.Begin(_record with { Previous = null }, rollback).Refusal?.Code);
    }

    [Fact]
    public void Report_that_arrives_after_a_later_one_counts_for_nothing()
    {
        Begin(_a, "two");
        var late = Report(_c);
        Ready(_a);
        Ready(_c);
        Look(late);
        Ready(_b);
        Assert.Equal(ChangePhase.Decided, Phase);
    }

    [Fact]
    public void Coordinator_that_starts_anew_goes_on_with_the_change_on_record()
    {
        Begin(_a, "two");
        Ready(_a);
        Ready(_b);
        _coordinator = new(_silos, _clock);
        Ready(_c);
        Ready(_b);
        Assert.Equal(ChangePhase.Preparing, Phase);
        Ready(_a);
        Assert.Equal(ChangePhase.Decided, Phase);

        _coordinator = new(_silos, _clock);
        Ready(_b);
        Assert.Equal(ChangePhase.Decided, Phase);
        foreach (var silo in new[] { _a, _b, _c })
        {
            Idle(silo, "two");
        }

        Assert.Equal(ChangePhase.Switched, Phase);
    }

    private ChangePhase? Phase => _record.Change?.Phase;

    private ModelRefusal? Begin(SiloAddress leader, string version)
    {
        (_record, var refusal) = _coordinator.Begin(_record, new(_id, leader, version, From: null));
        return refusal;
    }

    private ActiveBundle Opened(SiloAddress leader, string version)
    {
        var (record, refusal) = _coordinator.Begin(_record, new(Guid.NewGuid(), leader, version, From: null));
        Assert.Null(refusal);
        return record;
    }

    private void Decide()
    {
        Begin(_a, "two");
        Ready(_a);
        Ready(_b);
        Ready(_c);
        Assert.Equal(ChangePhase.Decided, Phase);
    }

    private void Idle(SiloAddress silo, string active = "one") => Look(Report(silo) with { Active = active });

    private void Working(SiloAddress silo) => Look(Report(silo) with { Change = _id });

    private void Ready(SiloAddress silo) => Look(Report(silo) with { Change = _id, IsReady = true });

    private ReplicaReport Report(SiloAddress silo) =>
        new() { Silo = silo, Name = _silos.Active.GetValueOrDefault(silo, "unknown"), Number = ++_number, Serves = true, Active = "one" };

    private void Look(ReplicaReport report) => _record = _coordinator.Look(_record, report);

    private sealed class Silos : IScoringSilos
    {
        private readonly Dictionary<SiloAddress, string> _active = [];
        private readonly HashSet<SiloAddress> _left = [];

        public IReadOnlyDictionary<SiloAddress, string> Active => _active;

        public static SiloAddress Address(int number) => SiloAddress.New(IPAddress.Loopback, 11_000 + number, generation: 1);

        public SiloAddress Add(string name)
        {
            var address = Address(_active.Count);
            _active.Add(address, name);
            return address;
        }

        public void Kill(SiloAddress silo)
        {
            _active.Remove(silo);
            _left.Add(silo);
        }

        public bool HasLeft(SiloAddress silo) => _left.Contains(silo);
    }
}
