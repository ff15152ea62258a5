using System.Collections.Concurrent;
using RecBackend.Core.Catalog;
using RecBackend.Core.Features;
using RecBackend.Core.Models;

namespace RecBackend.Core.Ranking;

/// <summary>A ranking with all buffers that making it takes. They grow to the largest request and are used again, so a request allocates next to nothing.</summary>
internal sealed class PooledRanking(ConcurrentBag<PooledRanking> pool, TimeProvider clock) : Ranking
{
    // What a host without a bundle assumes of an item without impressions: one click in twenty, as if seen in twenty impressions.
    private const double DefaultPrior = 0.05;
    private const double DefaultStrength = 20;

    private ulong[] _keys = [];
    private UInt128[] _fallbackKeys = [];
    private RankedItem[] _items = [];
    private int _count;
    private ModelLayout? _layout;
    private RankingMode _mode;
    private FallbackReason _reason;
    private long _begun;
    private long _stage;
    private TimeSpan _waitedBefore;
    private TimeSpan _wait;
    private TimeSpan _userRead;
    private TimeSpan _gather;
    private TimeSpan _run;
    private TimeSpan _total;
    private TimeSpan _sessionWait;
    private int _rented;
    private int[] _fetched = [];

    public override string? Model => _layout?.Version;

    public override RankingMode Mode => _mode;

    public override FallbackReason Reason => _reason;

    public override ReadOnlySpan<RankedItem> Items => _items.AsSpan(0, _count);

    public override ReadOnlySpan<int> Unknown => Candidates.Unknown;

    public override IReadOnlyList<int> Fetched => _fetched;

    public override StageTimes Times => new(_wait, _userRead, _gather, _run, _total, _sessionWait);

    /// <summary>The candidates' rows.</summary>
    public CandidateRows Candidates { get; } = new();

    /// <summary>[C] floats, pinned; of exactly the layout's size.</summary>
    public float[] Context { get; private set; } = [];

    /// <summary>A score for each of the <see cref="Candidates"/>' rows, pinned; longer than that.</summary>
    public float[] Scores { get; private set; } = [];

    public override ReadOnlySpan<float> Statistics(in RankedItem item) => Candidates.Statistics(Candidates.Places.BinarySearch(item.Candidate));

    /// <summary>Starts anew.</summary>
    /// <param name="layout">Of the bundle that is to answer, or null without one.</param>
    /// <param name="waited">How long the request has waited for a thread.</param>
    public void Begin(ModelLayout? layout, TimeSpan waited)
    {
        _layout = layout;
        _count = 0;
        _fetched = [];
        _rented = 1;

        // Stages that are not reached take no time.
        _gather = _userRead = _run = _sessionWait = TimeSpan.Zero;
        _wait = _waitedBefore = waited;
        _begun = _stage = clock.GetTimestamp();
        var fields = layout?.Context.Count ?? 0;
        if (Context.Length != fields)
        {
            Context = GC.AllocateArray<float>(fields, pinned: true);
        }
    }

    /// <summary>The user has been asked for, and may be there.</summary>
    public void MarkUserAsked() => _userRead = EndStage();

    /// <summary>The candidates are gathered; makes room for their scores.</summary>
    public void MarkGathered()
    {
        if (Scores.Length < Candidates.Count)
        {
            var size = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(Candidates.Count, 16));
            Scores = GC.AllocateUninitializedArray<float>(size, pinned: true);
            _keys = new ulong[size];
            _items = new RankedItem[size];
        }

        _gather = EndStage();
    }

    /// <summary>It waited for a thread in the middle of a stage, which took that much less.</summary>
    /// <param name="since">Timestamp of the beginning.</param>
    public void MarkTurn(long since)
    {
        var now = clock.GetTimestamp();
        _wait += clock.GetElapsedTime(since, now);
        _stage += now - since;
    }

    /// <summary>Notes which of the candidates that had no row have one now.</summary>
    public void MarkFetched(int[] before) => _fetched = Array.FindAll(before, place => Candidates.Unknown.BinarySearch(place) < 0);

    /// <summary>The user is read and encoded.</summary>
    public void MarkUserRead() => _userRead += EndStage();

    /// <summary>The scores are there.</summary>
    /// <param name="ran">How long the run itself took.</param>
    public void MarkRun(TimeSpan ran)
    {
        _run = EndStage();
        _sessionWait = _run - ran;
    }

    /// <summary>Keeps the best candidates, by score, or by the fallback's rule if there is a reason for it.</summary>
    /// <param name="limit">How many; 0 = all.</param>
    /// <param name="reason">None, or why there are no scores.</param>
    public void TakeBest(int limit, FallbackReason reason)
    {
        _reason = reason;
        _mode = reason == FallbackReason.None ? RankingMode.Model : RankingMode.Fallback;
        limit = limit == 0 ? int.MaxValue : limit;
        if (_mode == RankingMode.Model)
        {
            TakeBestByScore(limit);
        }
        else
        {
            TakeBestByRate(limit);
        }

        _total = _waitedBefore + clock.GetElapsedTime(_begun);
    }

    public override void Dispose()
    {
        // Twice in the pool, it would be lent to two requests at once.
        if (Interlocked.Exchange(ref _rented, 0) == 1)
        {
            pool.Add(this);
        }
    }

    private TimeSpan EndStage()
    {
        var begun = _stage;
        _stage = clock.GetTimestamp();
        return clock.GetElapsedTime(begun, _stage);
    }

    private void TakeBestByScore(int limit)
    {
        var keys = _keys.AsSpan(0, Candidates.Count);
        for (var row = 0; row < keys.Length; row++)
        {
            keys[row] = BestFirst.Key(Scores[row], row);
        }

        foreach (var key in BestFirst.Take(keys, limit))
        {
            Add(BestFirst.Row(key));
        }
    }

    /// <summary>
    /// By <c>(clicks + strength · prior) / (impressions + strength)</c> with the bundle's prior; among equals the one first seen last, and before all others those not seen yet,
    /// since nothing can be learnt of an item that is never shown.
    /// </summary>
    private void TakeBestByRate(int limit)
    {
        var (prior, strength) = _layout is null ? (DefaultPrior, DefaultStrength) : (_layout.FallbackPrior, _layout.FallbackStrength);
        if (_fallbackKeys.Length < Candidates.Count)
        {
            _fallbackKeys = new UInt128[_keys.Length];
        }

        var keys = _fallbackKeys.AsSpan(0, Candidates.Count);
        for (var row = 0; row < keys.Length; row++)
        {
            ref readonly var counters = ref Candidates.Counters[row];
            Scores[row] = (float)StatisticFeatures.ClickRate(counters.Clicks, counters.Impressions, prior, strength);
            keys[row] = BestFirst.Key(Scores[row], counters, row);
        }

        foreach (var key in BestFirst.Take(keys, limit))
        {
            Add(BestFirst.Row(key));
        }
    }

    private void Add(int row)
    {
        // A model that gives NaN has nothing to say of the item: it comes last, and with a score that JSON can carry.
        var score = float.IsNaN(Scores[row]) ? 0 : Scores[row];
        _items[_count++] = new(Candidates.Places[row], score, Candidates.Cold[row]);
    }
}
