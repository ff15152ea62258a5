using System.Diagnostics;

namespace RecBackend.Bench.Measuring;

/// <summary>Latencies of one way to rank, kept in full: percentiles are exact, not of buckets.</summary>
internal sealed class LatencySample(int capacity)
{
    private readonly List<long> _ticks = new(capacity);
    private bool _sorted;

    /// <summary>How many there are.</summary>
    public int Count => _ticks.Count;

    /// <summary>Adds a duration in ticks of <see cref="Stopwatch"/>.</summary>
    public void Add(long ticks)
    {
        _ticks.Add(ticks);
        _sorted = false;
    }

    /// <summary>Adds all of another sample.</summary>
    public void Add(LatencySample other)
    {
        _ticks.AddRange(other._ticks);
        _sorted = false;
    }

    /// <summary>The smallest duration that <paramref name="share"/> of all durations do not exceed (nearest rank), in microseconds.</summary>
    public double Percentile(double share)
    {
        if (_ticks.Count == 0)
        {
            throw new InvalidOperationException("There is no percentile of no durations.");
        }

        if (!_sorted)
        {
            _ticks.Sort();
            _sorted = true;
        }

        var rank = Math.Clamp((int)Math.Ceiling(share * _ticks.Count), 1, _ticks.Count);
        return _ticks[rank - 1] * 1e6 / Stopwatch.Frequency;
    }
}
