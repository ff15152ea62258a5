using RecBackend.Http.Ranking;

namespace RecBackend.Http.Tests.Ranking;

/// <summary>The limit before a simulated scorer: a few processors, one queue, arrivals that wait for nobody. Its time is simulated too.</summary>
public sealed class RankLimitTests
{
    private const int Processors = 2;
    private const double Service = 0.002;
    private const double Capacity = Processors / Service;

    [Fact]
    public void Below_saturation_hardly_anything_is_refused()
    {
        var scorer = new SimulatedScorer(seed: 1);
        var rest = scorer.Offer(0.7 * Capacity, seconds: 60);
        Assert.True(rest.Served > 40_000, $"{rest.Served} were served");
        Assert.True(rest.Refused <= 4, $"{rest.Refused} were refused");
    }

    [Theory]
    [InlineData(2)]
    [InlineData(10)]
    public void Above_saturation_the_scorer_stays_busy_and_latency_stays_bounded_for_as_long_as_it_lasts(double times)
    {
        var scorer = new SimulatedScorer(seed: 2);
        scorer.Offer(0.7 * Capacity, seconds: 5);
        scorer.Offer(times * Capacity, seconds: 1);
        var early = scorer.Offer(times * Capacity, seconds: 30);
        var late = scorer.Offer(times * Capacity, seconds: 30);

        foreach (var part in new[] { early, late })
        {
            Assert.True(part.Served >= 0.95 * Capacity * 30, $"{part.Served} of {Capacity * 30} were served");

            // What is tolerated in any case, and the headroom of four rankings beside those that run.
            Assert.True(part.P99 <= (0.02 + ((4 + Processors) * Service / Processors)) * 1.5, $"p99 is {part.P99}");
        }
    }

    [Fact]
    public void After_a_storm_nothing_is_refused_as_soon_as_its_queue_is_gone()
    {
        var scorer = new SimulatedScorer(seed: 3);
        scorer.Offer(0.7 * Capacity, seconds: 5);
        scorer.Offer(10 * Capacity, seconds: 10);
        scorer.Offer(0.7 * Capacity, seconds: 2);
        var after = scorer.Offer(0.7 * Capacity, seconds: 20);
        Assert.True(after.Refused < 0.002 * after.Served, $"{after.Refused} of {after.Served} were refused");
    }

    [Fact]
    public void Start_under_overload_with_slow_first_rankings_is_controlled_all_the_same()
    {
        var scorer = new SimulatedScorer(seed: 6) { Service = 50 * RankLimitTests.Service };
        scorer.Offer(2 * Capacity, seconds: 1);
        scorer.Service = Service;
        scorer.Offer(2 * Capacity, seconds: 8);
        var later = scorer.Offer(2 * Capacity, seconds: 10);
        Assert.True(later.P99 <= (0.02 + ((4 + Processors) * Service / Processors)) * 1.5, $"p99 is {later.P99}");
        Assert.True(later.Served >= 0.95 * Capacity * 10, $"{later.Served} were served");
    }

    [Theory]
    [InlineData(0.7)]
    [InlineData(2)]
    public void Slower_model_has_a_longer_latency_tolerated(double load)
    {
        var scorer = new SimulatedScorer(seed: 4);
        scorer.Offer(2 * Capacity, seconds: 5);
        var fast = scorer.Limit.Limit;
        scorer.Service = 10 * Service;
        scorer.Offer(load * Capacity / 10, seconds: 60);
        var slow = scorer.Offer(2 * Capacity / 10, seconds: 60);
        Assert.True(slow.Served >= 0.95 * Capacity / 10 * 60, $"{slow.Served} were served");

        // Four times its 20 ms with two processors, and the headroom, instead of the 20 ms that are always tolerated.
        Assert.InRange(scorer.Limit.Limit, 9, 16);
        Assert.InRange(fast, 20, 32);
    }

    [Fact]
    public void Burst_on_a_host_at_rest_is_let_in()
    {
        var limit = new RankLimit(Processors, most: 512, tolerance: 4);
        for (var call = 1; call <= 64; call++)
        {
            Assert.True(limit.TryEnter(out var inFlight));
            Assert.Equal(call, inFlight);
        }

        Assert.False(limit.TryEnter(out _));
        limit.Leave();
        Assert.True(limit.TryEnter(out _));
    }

    [Fact]
    public void Limit_stays_between_its_bounds()
    {
        var limit = new RankLimit(concurrency: 16, most: 100, tolerance: 1);
        for (var ranking = 0; ranking < 10_000; ranking++)
        {
            limit.Learn(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(1), inFlight: 100);
        }

        Assert.Equal(100, limit.Limit);
        for (var ranking = 0; ranking < 10_000; ranking++)
        {
            limit.Learn(TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(1), inFlight: 100);
        }

        Assert.Equal(32, limit.Limit);
        Assert.Equal(2, new RankLimit(concurrency: 16, most: 2, tolerance: 4).Limit);
    }

    /// <summary>Processors that serve one queue, behind the limit. Service times vary by a fifth.</summary>
    private sealed class SimulatedScorer(int seed)
    {
        private readonly Random _random = new(seed);
        private readonly PriorityQueue<(double Arrived, double Work, int InFlight), double> _ends = new();
        private readonly double[] _free = new double[Processors];
        private double _now;

        public RankLimit Limit { get; } = new(Processors, most: 512, tolerance: 4);

        public double Service { get; set; } = RankLimitTests.Service;

        public (int Served, int Refused, double P99) Offer(double rate, double seconds)
        {
            var latencies = new List<double>();
            var refused = 0;
            for (var end = _now + seconds; _now < end;)
            {
                _now -= Math.Log(1 - _random.NextDouble()) / rate;
                while (_ends.TryPeek(out var ranking, out var ended) && ended <= _now)
                {
                    _ends.Dequeue();
                    Limit.Learn(TimeSpan.FromSeconds(ended - ranking.Arrived), TimeSpan.FromSeconds(ranking.Work), ranking.InFlight);
                    Limit.Leave();
                    latencies.Add(ended - ranking.Arrived);
                }

                if (!Limit.TryEnter(out var inFlight))
                {
                    refused++;
                    continue;
                }

                var processor = _free[0] <= _free[1] ? 0 : 1;
                var work = Service * (0.8 + (0.4 * _random.NextDouble()));
                _free[processor] = Math.Max(_free[processor], _now) + work;
                _ends.Enqueue((_now, work, inFlight), _free[processor]);
            }

            latencies.Sort();
            return (latencies.Count, refused, latencies.Count == 0 ? 0 : latencies[(int)(0.99 * (latencies.Count - 1))]);
        }
    }
}
