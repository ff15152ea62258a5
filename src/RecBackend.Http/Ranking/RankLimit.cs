using System.Diagnostics.Metrics;

namespace RecBackend.Http.Ranking;

/// <summary>
/// How many rankings are at work at once: as many as the host keeps up with, learned from how long they take. What comes above is refused before anything is spent on it.
/// The limit follows the gradient of the latency without load against the present one, as Netflix's Gradient2 does (github.com/Netflix/concurrency-limits):
/// <c>limit × clamp(tolerated ÷ present, 0.5, 1) + headroom</c>, smoothed, where a multiple of the unloaded latency is tolerated, and some milliseconds in any case. Unlike there, the unloaded
/// latency is what rankings take without their wait for the scorer, and not a long average of the whole: that one takes lasting overload for the normal state, and lets the limit, and with it
/// every latency, grow for as long as it lasts.
/// </summary>
internal sealed class RankLimit
{
    private const double Headroom = 4;
    private const double LeastGradient = 0.5;
    private const int PresentWindow = 20;

    // Seconds. A pause of a collection, or a neighbour who takes the processor for a moment, is no overload, and small rankings take a fraction of a millisecond.
    private const double AlwaysTolerated = 0.02;

    // Before anything is known, a burst on a host at rest is let in: it passes, and a queue that stays shrinks the limit within some dozens of rankings.
    private const int Initial = 64;

    private readonly Lock _lock = new();
    private readonly int _least;
    private readonly int _most;
    private readonly double _tolerance;
    private readonly MovingMean _unloaded = new(window: 600);
    private readonly MovingMean _present = new(PresentWindow);
    private double _limit;
    private int _inFlight;

    /// <param name="concurrency">Rankings that the host runs at once, at least 1. The limit never falls below twice as many: while one runs, another is read or written.</param>
    /// <param name="most">The limit never exceeds it.</param>
    /// <param name="tolerance">How many times its latency without load, but at least 20 ms, a ranking may take before the limit shrinks; at least 1.</param>
    public RankLimit(int concurrency, int most, double tolerance)
    {
        (_least, _most, _tolerance) = (Math.Min(2 * concurrency, most), most, tolerance);
        _limit = Math.Clamp(Initial, _least, most);
    }

    /// <summary>How many are let in.</summary>
    public int Limit
    {
        get
        {
            lock (_lock)
            {
                return (int)_limit;
            }
        }
    }

    /// <summary>How many are at work.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Shows the limit and what it lets in.</summary>
    public void Observe(Meter meter)
    {
        meter.CreateObservableGauge("recbackend.rankings.limit", () => Limit, "{ranking}", "Rankings that are let in at once; more get 429.");
        meter.CreateObservableUpDownCounter("recbackend.rankings.in_flight", () => InFlight, "{ranking}", "Rankings at work.");
    }

    /// <summary>Lets a ranking in, or does not. If it does, one <see cref="Leave"/> must follow.</summary>
    /// <param name="inFlight">How many are at work then, this one included.</param>
    public bool TryEnter(out int inFlight)
    {
        lock (_lock)
        {
            inFlight = _inFlight + 1;
            if (inFlight > (int)_limit)
            {
                return false;
            }

            _inFlight = inFlight;
            return true;
        }
    }

    /// <summary>A ranking that was let in has ended.</summary>
    public void Leave()
    {
        lock (_lock)
        {
            _inFlight--;
        }
    }

    /// <summary>Learns from a ranking that the model answered.</summary>
    /// <param name="latency">From the request's body to the scores.</param>
    /// <param name="work">The same without the wait for the scorer.</param>
    /// <param name="inFlight">What <see cref="TryEnter"/> gave.</param>
    public void Learn(TimeSpan latency, TimeSpan work, int inFlight)
    {
        lock (_lock)
        {
            var present = _present.Add(latency.TotalSeconds);
            var unloaded = _unloaded.Add(work.TotalSeconds);
            var gradient = Math.Clamp(Math.Max(_tolerance * unloaded, AlwaysTolerated) / Math.Max(present, 1e-9), LeastGradient, 1);

            // A limit that nobody reaches says nothing of what would be if it were higher.
            if (gradient < 1 || inFlight >= _limit / 2)
            {
                // What a limit does shows when the rankings that it let in have ended, and are part of the mean: moving faster than that, it would swing between far too much and far too little.
                var target = (_limit * gradient) + Headroom;
                _limit = Math.Clamp(_limit + ((target - _limit) / (_limit + PresentWindow)), _least, _most);
            }
        }
    }

    /// <summary>The mean of the first values, then an exponential average of as many.</summary>
    private sealed class MovingMean(int window)
    {
        private int _count;

        public double Value { get; private set; }

        public double Add(double value)
        {
            _count = Math.Min(_count + 1, window);
            return Value += (value - Value) / _count;
        }
    }
}
