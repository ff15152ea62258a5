namespace RecBackend.Core.Features;

/// <summary>What the ranker reads of a request: docs/bundle-format.md, section 6.</summary>
public static class ContextFeatures
{
    private const long MillisecondsPerMinute = 60_000;
    private const long MinutesPerDay = 1_440;

    /// <summary>Writes the context fields of a bundle.</summary>
    /// <param name="names">The layout's context fields.</param>
    /// <param name="time">The request's time, Unix milliseconds.</param>
    /// <param name="newestEvent">Time of the newest event of the user's history, or null.</param>
    /// <param name="given">Numbers that the caller gave.</param>
    /// <param name="destination">One float for each field.</param>
    public static void Write(IReadOnlyList<string> names, long time, long? newestEvent, List<KeyValuePair<string, double>> given, Span<float> destination)
    {
        for (var i = 0; i < names.Count; i++)
        {
            destination[i] = (float)(names[i] switch
            {
                "since_last_event" => newestEvent is { } newest ? Math.Log(1 + Math.Max(0, (time - newest) / 1000.0)) : -1,
                "hour_sin" => Math.Sin(AngleOfDay(time)),
                "hour_cos" => Math.Cos(AngleOfDay(time)),
                var name => Given(given, name),
            });
        }
    }

    private static double AngleOfDay(long time)
    {
        var minute = Math.DivRem(time, MillisecondsPerMinute, out var rest) - (rest < 0 ? 1 : 0);
        var minuteOfDay = ((minute % MinutesPerDay) + MinutesPerDay) % MinutesPerDay;
        return 2 * Math.PI * minuteOfDay / MinutesPerDay;
    }

    private static double Given(List<KeyValuePair<string, double>> given, string name)
    {
        foreach (var (key, value) in given)
        {
            if (key == name)
            {
                return value;
            }
        }

        return 0;
    }
}
