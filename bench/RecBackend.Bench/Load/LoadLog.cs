using System.Diagnostics;
using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Load;

/// <summary>What became of every arrival of a run. Nothing is put into buckets: percentiles are exact.</summary>
internal sealed class LoadLog
{
    private readonly long _start;
    private readonly Entry[] _entries;

    /// <param name="start">Moment at which the schedule begins, in ticks.</param>
    /// <param name="schedule">Arrivals in ticks after it.</param>
    public LoadLog(long start, long[] schedule)
    {
        _start = start;
        _entries = new Entry[schedule.Length];
        for (var i = 0; i < schedule.Length; i++)
        {
            _entries[i].Scheduled = start + schedule[i];
        }
    }

    /// <summary>Arrivals.</summary>
    public int Count => _entries.Length;

    /// <summary>An arrival.</summary>
    public ref Entry this[int arrival] => ref _entries[arrival];

    /// <summary>The figures of the part of the run from <paramref name="from"/> to <paramref name="to"/> after its start.</summary>
    /// <remarks>
    /// Latencies, outcomes and the offered rate are of the arrivals scheduled in that part, until the last of them is done with. Achieved rate and goodput count the answers that came within it, to
    /// whichever arrival: a server that falls behind answers at its own rate, and is not given the time after the last arrival to catch up.
    /// </remarks>
    public LoadFigures Figures(TimeSpan from, TimeSpan to)
    {
        var (begin, end) = (_start + Ticks(from), _start + Ticks(to));
        var (model, all, wait, late) = (new LatencySample(Count), new LatencySample(Count), new LatencySample(Count), new LatencySample(Count));
        var outcomes = new long[Enum.GetValues<Outcome>().Length];
        long arrivals = 0, answered = 0, good = 0, withoutConnection = 0;
        foreach (ref readonly var entry in _entries.AsSpan())
        {
            if (entry.Ended >= begin && entry.Ended < end)
            {
                answered += entry.Outcome is Outcome.TimedOut or Outcome.Unsent or Outcome.Broken ? 0 : 1;
                good += entry.Outcome == Outcome.Model ? 1 : 0;
            }

            if (entry.Scheduled < begin || entry.Scheduled >= end)
            {
                continue;
            }

            arrivals++;
            outcomes[(int)entry.Outcome]++;
            withoutConnection += entry.FoundNoConnection ? 1 : 0;
            all.Add(entry.Ended - entry.Scheduled);
            wait.Add(entry.Sent - entry.Scheduled);
            late.Add(entry.Issued - entry.Scheduled);
            if (entry.Outcome == Outcome.Model)
            {
                model.Add(entry.Ended - entry.Scheduled);
            }
        }

        var seconds = (to - from).TotalSeconds;
        return new LoadFigures
        {
            Seconds = seconds,
            Arrivals = arrivals,
            Offered = arrivals / seconds,
            Achieved = answered / seconds,
            Goodput = good / seconds,
            Outcomes = Enum.GetValues<Outcome>().ToDictionary(outcome => outcome, outcome => outcomes[(int)outcome]),
            Model = Percentiles.Of(model),
            All = Percentiles.Of(all),
            ClientWait = Percentiles.Of(wait),
            IssuedLate = Percentiles.Of(late),
            FoundNoConnection = withoutConnection,
        };
    }

    /// <summary>
    /// How long after <paramref name="from"/> things were not yet as they should be: until the end of the last slot in which the model did not answer every arrival, or half of them took longer
    /// than <paramref name="usual"/>.
    /// </summary>
    /// <param name="from">After the start of the run.</param>
    /// <param name="to">How far it is looked.</param>
    /// <param name="slot">Length of a slot.</param>
    /// <param name="usual">Microseconds.</param>
    /// <returns>Zero if all is well at once; null if the last slot is not.</returns>
    public TimeSpan? TroubleAfter(TimeSpan from, TimeSpan to, TimeSpan slot, double usual)
    {
        var slots = (int)((to - from) / slot);
        for (var last = slots - 1; last >= 0; last--)
        {
            var figures = Figures(from + (last * slot), from + ((last + 1) * slot));
            if (figures.Outcomes[Outcome.Model] < figures.Arrivals || figures.Model?.P50 > usual)
            {
                return last == slots - 1 ? null : (last + 1) * slot;
            }
        }

        return TimeSpan.Zero;
    }

    private static long Ticks(TimeSpan span) => (long)(span.TotalSeconds * Stopwatch.Frequency);

    /// <summary>One arrival. Moments are in ticks of the clock.</summary>
    internal struct Entry
    {
        /// <summary>When the schedule has it: what its latency counts from.</summary>
        public long Scheduled;

        /// <summary>When the generator came to it.</summary>
        public long Issued;

        /// <summary>When it had a connection, or was given up for want of one.</summary>
        public long Sent;

        /// <summary>When its answer was read, or it had failed.</summary>
        public long Ended;

        /// <summary>Whether all connections were taken when it was issued.</summary>
        public bool FoundNoConnection;

        /// <summary>What became of it.</summary>
        public Outcome Outcome;
    }
}
