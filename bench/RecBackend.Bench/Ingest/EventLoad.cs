using System.Diagnostics;
using RecBackend.Bench.Measuring;
using RecBackend.Core.Users;

namespace RecBackend.Bench.Ingest;

/// <summary>Writers that each send one batch of events after the other, without a pause.</summary>
/// <param name="writers">How many.</param>
/// <param name="batch">Events in one call.</param>
/// <param name="warmUp">Time that does not count, at the start.</param>
/// <param name="time">Time that counts.</param>
internal sealed class EventLoad(int writers, int batch, TimeSpan warmUp, TimeSpan time)
{
    /// <summary>Runs the load.</summary>
    /// <param name="open">Where a writer sends to.</param>
    /// <param name="next">The next event of a writer.</param>
    /// <param name="cancellation">Breaks it off.</param>
    public async Task<EventRate> RunAsync(Func<int, IEventSink> open, Func<int, Func<InteractionEvent>> next, CancellationToken cancellation)
    {
        // The client of the HTTP sinks blocks: a pool that grows by a thread now and then would let the writers start one after the other.
        ThreadPool.GetMinThreads(out var threads, out var ports);
        ThreadPool.SetMinThreads(Math.Max(threads, writers + Environment.ProcessorCount), ports);
        var clock = Stopwatch.StartNew();
        var all = await Task.WhenAll(Enumerable.Range(0, writers).Select(writer => Task.Run(() => WriteAsync(open(writer), next(writer), clock, cancellation), cancellation)));
        var calls = new LatencySample(all.Sum(x => x.Count));
        foreach (var ticks in all.SelectMany(x => x))
        {
            calls.Add(ticks);
        }

        return new EventRate((double)calls.Count * batch / time.TotalSeconds, calls);
    }

    // The ticks of every call that ended in the measured time.
    private async Task<List<long>> WriteAsync(IEventSink sink, Func<InteractionEvent> next, Stopwatch clock, CancellationToken cancellation)
    {
        using (sink)
        {
            var ticks = new List<long>();
            var events = new InteractionEvent[batch];
            while (true)
            {
                cancellation.ThrowIfCancellationRequested();
                foreach (ref var interaction in events.AsSpan())
                {
                    interaction = next();
                }

                var start = Stopwatch.GetTimestamp();
                await sink.SendAsync(events);
                var took = Stopwatch.GetTimestamp() - start;
                if (clock.Elapsed >= warmUp + time)
                {
                    return ticks;
                }

                if (clock.Elapsed >= warmUp)
                {
                    ticks.Add(took);
                }
            }
        }
    }
}

/// <summary>What a load reached.</summary>
/// <param name="Rate">Events a second.</param>
/// <param name="Calls">How long each call took.</param>
internal sealed record EventRate(double Rate, LatencySample Calls);
