using RecBackend.Core.Storage;

namespace RecBackend.Grains.Models;

/// <summary>
/// Decides changes of the active bundle by what the silos report: a two-phase commit in which the record is the coordinator. It changes nothing itself: it tells what the record is from now on, and that
/// takes effect when it is stored. What silos have reported is in memory only: they report again a moment later.
/// </summary>
internal sealed class ChangeCoordinator(IScoringSilos silos, TimeProvider clock)
{
    /// <summary>How long a silo that works at a change may say nothing. Silos look every fraction of a second; one that has died is known to be dead much sooner.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly Dictionary<SiloAddress, Seen> _seen = [];

    // When a member was first missed that has not reported yet: one that joins during a change has its time too.
    private readonly Dictionary<SiloAddress, long> _awaited = [];

    // Silence before that is nobody's fault: then began this coordinator, the change, or its phase.
    private long _since = clock.GetTimestamp();
    private long _leaderSeen = clock.GetTimestamp();

    /// <summary>Opens a change.</summary>
    /// <returns>The record from now on, and why the change is refused, or null.</returns>
    public (ActiveBundle Record, ModelRefusal? Refusal) Begin(ActiveBundle record, ModelChange change)
    {
        record = Settle(record);
        if (record.Change?.Id == change.Id)
        {
            // Asked again, because the answer was lost.
            return (record, null);
        }

        if (record.Change is { IsOpen: true } open)
        {
            return (record, new("activation_in_progress", $"The cluster is changing its model to '{open.Version}'; wait for it or cancel its job.", IsOfBundle: false));
        }

        if (change.From is { } from && (record.Active != from || record.Previous != change.Version))
        {
            return (record, new("rollback_unavailable", $"'{record.Active ?? "nothing"}' is active, and '{record.Previous ?? "nothing"}' was before it.", IsOfBundle: false));
        }

        _leaderSeen = clock.GetTimestamp();
        return (Enter(record, new() { Id = change.Id, Leader = change.Leader.ToParsableString(), Version = change.Version }), null);
    }

    /// <summary>Takes a silo's report.</summary>
    /// <returns>The record from now on.</returns>
    public ActiveBundle Look(ActiveBundle record, ReplicaReport report)
    {
        if (!_seen.TryGetValue(report.Silo, out var before) || before.Report.Number < report.Number)
        {
            _seen[report.Silo] = new(report, clock.GetTimestamp());
            _awaited.Remove(report.Silo);
        }

        if (report.Change is { } change && change == record.Change?.Id && report.Silo.ToParsableString() == record.Change.Leader)
        {
            _leaderSeen = clock.GetTimestamp();
        }

        return Settle(record);
    }

    /// <summary>Gives a change up, unless it is decided.</summary>
    public ActiveBundle GiveUp(ActiveBundle record, Guid change) =>
        record.Change is { Phase: ChangePhase.Encoding or ChangePhase.Preparing } open && open.Id == change ? Enter(record, open with { Phase = ChangePhase.GivenUp }) : record;

    /// <summary>Lets go of a change that is decided.</summary>
    public ActiveBundle Close(ActiveBundle record, Guid change) =>
        record.Change is { IsOpen: true, IsDecided: true } open && open.Id == change ? Enter(record, open with { Phase = ChangePhase.Closed }) : record;

    private ActiveBundle Settle(ActiveBundle record)
    {
        if (record.Change is not { IsOpen: true } change)
        {
            return record;
        }

        if (silos.HasLeft(SiloAddress.FromParsableString(change.Leader)) || IsOver(_leaderSeen))
        {
            var refusal = new ModelRefusal(StorageException.Unavailable, "The silo that led the change went away before it was decided.", IsOfBundle: false);
            return Enter(record, change.IsDecided ? change with { Phase = ChangePhase.Closed } : change with { Phase = ChangePhase.GivenUp, Refusal = refusal });
        }

        var participants = Participants();
        return change.Phase switch
        {
            ChangePhase.Encoding when participants.Exists(one => one.Silo.ToParsableString() == change.Leader && IsReady(one, change)) =>
                Enter(record, change with { Phase = ChangePhase.Preparing }),
            ChangePhase.Preparing when RefusalOf(participants, change) is { } refusal => Enter(record, change with { Phase = ChangePhase.GivenUp, Refusal = refusal }),
            ChangePhase.Preparing when participants.TrueForAll(one => IsReady(one, change)) => Enter(record, change with { Phase = ChangePhase.Decided }) with
            {
                Active = change.Version,
                Previous = record.Active == change.Version ? record.Previous : record.Active,
            },

            // One that speaks but does not switch has a full disk, say. It knows what to do.
            ChangePhase.Decided when IsOver(_since) || participants.TrueForAll(one => one.Report?.Active == change.Version) => Enter(record, change with { Phase = ChangePhase.Switched }),
            _ => record,
        };
    }

    private ActiveBundle Enter(ActiveBundle record, RecordedChange change)
    {
        _since = clock.GetTimestamp();
        return record with { Change = change };
    }

    /// <summary>The silos that rank: those that the membership shows, and those that have reported lately, which it may not show yet.</summary>
    private List<Participant> Participants()
    {
        var participants = new List<Participant>();
        foreach (var (silo, name) in silos.Active)
        {
            participants.Add(_seen.TryGetValue(silo, out var seen) ? new(silo, name, seen.Report, Math.Max(seen.At, _since)) : new(silo, name, null, Math.Max(AwaitedSince(silo), _since)));
        }

        foreach (var (silo, seen) in _seen.Where(one => !silos.Active.ContainsKey(one.Key)).ToList())
        {
            if (silos.HasLeft(silo) || IsOver(seen.At))
            {
                _seen.Remove(silo);
            }
            else
            {
                participants.Add(new(silo, seen.Report.Name, seen.Report, seen.At));
            }
        }

        foreach (var silo in _awaited.Keys.Where(one => !silos.Active.ContainsKey(one)).ToList())
        {
            _awaited.Remove(silo);
        }

        participants.RemoveAll(one => one.Report is { Serves: false });
        return participants;
    }

    private long AwaitedSince(SiloAddress silo)
    {
        if (!_awaited.TryGetValue(silo, out var since))
        {
            since = _awaited[silo] = clock.GetTimestamp();
        }

        return since;
    }

    private ModelRefusal? RefusalOf(List<Participant> participants, RecordedChange change)
    {
        foreach (var one in participants)
        {
            if (one.Report is { Refusal: { } refusal } && one.Report.Change == change.Id)
            {
                return refusal with { Detail = $"{one.Name}: {refusal.Detail}" };
            }

            if (IsOver(one.Last))
            {
                return new(StorageException.Unavailable, $"{one.Name}: It is a member of the cluster, and has said nothing for {Patience.TotalSeconds} s.", IsOfBundle: false);
            }
        }

        return null;
    }

    private static bool IsReady(Participant one, RecordedChange change) =>
        one.Report is { } report && (report.Active == change.Version || (report.IsReady && report.Change == change.Id));

    private bool IsOver(long since) => clock.GetElapsedTime(since) > Patience;

    private sealed record Seen(ReplicaReport Report, long At);

    private sealed record Participant(SiloAddress Silo, string Name, ReplicaReport? Report, long Last);
}
