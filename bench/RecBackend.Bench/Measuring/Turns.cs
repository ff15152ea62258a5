using System.Diagnostics;

namespace RecBackend.Bench.Measuring;

/// <summary>Something to measure: it makes ready for a turn, which is not measured, and takes it, which is.</summary>
/// <param name="Prepare">Makes ready for a turn by its number.</param>
/// <param name="Run">Takes it.</param>
internal sealed record Turn(Action<int> Prepare, Func<ValueTask> Run);

/// <summary>Measures several things in short rounds that follow each other, so that whatever else the machine does hits all alike.</summary>
internal static class Turns
{
    private const int Round = 20;

    /// <summary>Takes <paramref name="count"/> turns of each after half as many to warm up.</summary>
    /// <returns>Latencies, in the order of <paramref name="turns"/>.</returns>
    public static async Task<LatencySample[]> MeasureAsync(string what, IReadOnlyList<Turn> turns, int count, CancellationToken cancellation)
    {
        var samples = turns.Select(_ => new LatencySample(count)).ToArray();
        var progress = new ProgressLines(what, (count + (count / 2)) * (long)turns.Count);
        var done = 0L;
        for (var start = -(count / 2); start < count; start += Round)
        {
            for (var turn = 0; turn < turns.Count; turn++)
            {
                cancellation.ThrowIfCancellationRequested();
                for (var i = start; i < Math.Min(start + Round, count); i++)
                {
                    turns[turn].Prepare(i + (count / 2));
                    var begin = Stopwatch.GetTimestamp();
                    await turns[turn].Run();
                    var ticks = Stopwatch.GetTimestamp() - begin;
                    if (i >= 0)
                    {
                        samples[turn].Add(ticks);
                    }

                    progress.At(++done);
                }
            }
        }

        progress.Done();
        return samples;
    }
}
