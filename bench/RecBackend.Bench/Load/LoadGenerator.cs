using System.Diagnostics;
using System.Threading.Channels;

namespace RecBackend.Bench.Load;

/// <summary>
/// An open loop: a thread of its own issues each request at its scheduled moment, whatever became of those before. At most <paramref name="inFlight"/> are on the wire; when all connections are
/// taken, an arrival waits for one in a queue of this process, and that wait is part of its latency as any other.
/// </summary>
/// <param name="clock">Of arrivals and latencies.</param>
/// <param name="exchange">Sends a request.</param>
/// <param name="inFlight">Requests on the wire at once.</param>
/// <param name="patience">How long after its scheduled arrival a request is given up.</param>
internal sealed class LoadGenerator(ArrivalClock clock, IExchange exchange, int inFlight, TimeSpan patience)
{
    private readonly long _patience = (long)(patience.TotalSeconds * Stopwatch.Frequency);
    private int _outstanding;

    /// <summary>Sends the arrivals of a schedule.</summary>
    /// <param name="schedule">Ticks after the start, ascending.</param>
    /// <param name="issued">Called with each arrival's number at the moment it is issued, on the thread that issues: it must return at once.</param>
    /// <param name="cancellation">Issues no more.</param>
    /// <returns>What became of each.</returns>
    public async Task<LoadLog> RunAsync(long[] schedule, Action<int>? issued, CancellationToken cancellation)
    {
        var log = new LoadLog(clock.Now, schedule);

        // Without a bound: the schedule is finite, and whoever issues must never wait.
        var queue = Channel.CreateUnbounded<int>(new UnboundedChannelOptions { SingleWriter = true });
        var connections = new Task[inFlight];
        for (var i = 0; i < inFlight; i++)
        {
            connections[i] = SendAsync(queue.Reader, log);
        }

        var thread = new Thread(() => Issue(log, queue.Writer, issued, cancellation)) { IsBackground = true, Name = "arrivals" };
        thread.Start();
        await Task.WhenAll(connections);
        cancellation.ThrowIfCancellationRequested();
        return log;
    }

    private void Issue(LoadLog log, ChannelWriter<int> queue, Action<int>? issued, CancellationToken cancellation)
    {
        try
        {
            KernelClock.WakeThisThreadPromptly();
            for (var i = 0; i < log.Count && !cancellation.IsCancellationRequested; i++)
            {
                ref var entry = ref log[i];
                clock.SleepUntil(entry.Scheduled);
                entry.Issued = clock.Now;
                entry.FoundNoConnection = Interlocked.Increment(ref _outstanding) > inFlight;
                queue.TryWrite(i);
                issued?.Invoke(i);
            }

            queue.Complete();
        }
        catch (Exception e)
        {
            // Those who read the queue fail with it, and so does the run.
            queue.Complete(e);
        }
    }

    private async Task SendAsync(ChannelReader<int> queue, LoadLog log)
    {
        var giveUp = new CancellationTokenSource();
        while (await NextAsync(queue) is { } i)
        {
            log[i].Sent = clock.Now;
            var left = log[i].Scheduled + _patience - log[i].Sent;
            if (left <= 0)
            {
                log[i].Outcome = Outcome.Unsent;
            }
            else
            {
                giveUp.CancelAfter(TimeSpan.FromSeconds((double)left / Stopwatch.Frequency));
                var outcome = await exchange.SendAsync(i, giveUp.Token);
                log[i].Outcome = outcome;
                if (!giveUp.TryReset())
                {
                    giveUp.Dispose();
                    giveUp = new CancellationTokenSource();
                }
            }

            log[i].Ended = clock.Now;
            Interlocked.Decrement(ref _outstanding);
        }

        giveUp.Dispose();
    }

    // An arrival wakes one of those who read so. Whoever waits for the queue to have something, as ReadAllAsync does, is woken with all others who do, a thousand at each arrival.
    private static async ValueTask<int?> NextAsync(ChannelReader<int> queue)
    {
        try
        {
            return await queue.ReadAsync(CancellationToken.None);
        }
        catch (ChannelClosedException e) when (e.InnerException is null)
        {
            return null;
        }
    }
}
