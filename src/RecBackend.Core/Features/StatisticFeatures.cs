using RecBackend.Core.Items;
using RecBackend.Core.Models;

namespace RecBackend.Core.Features;

/// <summary>Statistics of items and users as the model reads them: docs/bundle-format.md, section 5. The same numbers as in training, where features.py computes them.</summary>
public static class StatisticFeatures
{
    private const long MillisecondsPerDay = 86_400_000;

    // A logarithm for each candidate of each request would cost more than the copy of its row. 45 years, then computed.
    private static readonly float[] LogOfDays = [.. Enumerable.Range(0, 16_384).Select(days => (float)Math.Log(1.0 + days))];

    /// <summary>Writes the statistics of an item that do not depend on the request's time; places of <see cref="StatisticKind.Age"/> get 0.</summary>
    /// <param name="fields">The layout's item statistics.</param>
    /// <param name="counters">What events have counted.</param>
    /// <param name="destination">One float for each field.</param>
    public static void WriteTimeless(IReadOnlyList<StatisticField> fields, in ItemCounters counters, Span<float> destination)
    {
        for (var i = 0; i < fields.Count; i++)
        {
            destination[i] = fields[i].Kind == StatisticKind.Age ? 0 : Of(fields[i], counters.Impressions, counters.Clicks);
        }
    }

    /// <summary>Writes the statistics of a user.</summary>
    /// <param name="fields">The layout's user statistics.</param>
    /// <param name="impressions">Number of impressions.</param>
    /// <param name="clicks">Number of actions.</param>
    /// <param name="destination">One float for each field.</param>
    public static void WriteUser(IReadOnlyList<StatisticField> fields, long impressions, long clicks, Span<float> destination)
    {
        for (var i = 0; i < fields.Count; i++)
        {
            destination[i] = Of(fields[i], impressions, clicks);
        }
    }

    /// <summary><c>ln(1 + whole days between firstSeen and time)</c>, at least 0; 0 for an item without events.</summary>
    /// <param name="firstSeen">Unix milliseconds, or <see cref="ItemCounters.NeverSeen"/>.</param>
    /// <param name="time">The request's time, Unix milliseconds.</param>
    public static float Age(long firstSeen, long time)
    {
        if (firstSeen == ItemCounters.NeverSeen || time <= firstSeen)
        {
            return 0;
        }

        var days = (time - firstSeen) / MillisecondsPerDay;
        return days < LogOfDays.Length ? LogOfDays[days] : (float)Math.Log(1.0 + days);
    }

    /// <summary><c>(clicks + strength · prior) / (impressions + strength)</c>, at most 1; the prior if there is nothing to divide by.</summary>
    public static double ClickRate(long clicks, long impressions, double prior, double strength)
    {
        var weight = impressions + strength;
        return weight > 0 ? Math.Min(1, (clicks + strength * prior) / weight) : prior;
    }

    private static float Of(in StatisticField field, long impressions, long clicks) => field.Kind switch
    {
        StatisticKind.Impressions => (float)Math.Log(1.0 + impressions),
        StatisticKind.ClickRate => (float)ClickRate(clicks, impressions, field.Prior, field.Strength),
        _ => throw new ArgumentException($"{field.Kind} is not a statistic of counters alone."),
    };
}
