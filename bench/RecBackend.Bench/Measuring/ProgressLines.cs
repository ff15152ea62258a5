using System.Diagnostics;
using System.Globalization;

namespace RecBackend.Bench.Measuring;

/// <summary>Progress of long work on standard error: rate and time left, a line every two seconds.</summary>
internal sealed class ProgressLines
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(2);

    private readonly string _what;
    private readonly long _total;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private TimeSpan _next = Pause;

    public ProgressLines(string what, long total)
    {
        _what = what;
        _total = total;
    }

    /// <summary>Tells that <paramref name="done"/> of the total are done; prints if it is time to.</summary>
    public void At(long done)
    {
        if (_clock.Elapsed < _next)
        {
            return;
        }

        _next = _clock.Elapsed + Pause;
        var rate = done / _clock.Elapsed.TotalSeconds;
        var left = rate > 0 ? TimeSpan.FromSeconds((_total - done) / rate) : TimeSpan.Zero;
        Say(string.Create(CultureInfo.InvariantCulture, $"{_what}: {done:N0} of {_total:N0}, {rate:N0}/s, {left:mm\\:ss} left"));
    }

    /// <summary>Tells that the work is over.</summary>
    public void Done() => Say(string.Create(CultureInfo.InvariantCulture, $"{_what}: {_total:N0} in {_clock.Elapsed.TotalSeconds:F1} s"));

    /// <summary>A line of progress.</summary>
    public static void Say(string line) => Console.Error.WriteLine("bench: " + line);
}
