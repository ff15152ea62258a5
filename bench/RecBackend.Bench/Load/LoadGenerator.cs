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
    // What a sender reads when no arrival is left.
    private const int NoMore = -1;

    private readonly long _patience = (long)(patience.TotalSeconds * Stopwatch.Frequency);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Arrivals that were issued and have not ended; and one for the schedule, until it is through.
    private int _outstanding = 1;

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
        await _ended.Task;

        // Only now: waking all who are idle takes the processor from nobody whose ranking is measured.
        foreach (var _ in connections)
        {
            queue.Writer.TryWrite(NoMore);
        }

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
                entry.FoundNoConnection = Interlocked.Increment(ref _outstanding) > inFlight + 1;
                queue.TryWrite(i);
                issued?.Invoke(i);
            }

            EndOne();
        }
        catch (Exception e)
        {
            _ended.TrySetException(e);
        }
    }

    private void EndOne()
    {
        if (Interlocked.Decrement(ref _outstanding) == 0)
        {
            _ended.TrySetResult();
        }
    }

    private async Task SendAsync(ChannelReader<int> queue, LoadLog log)
    {
        try
        {
            var giveUp = new CancellationTokenSource();

            // One by one: an arrival wakes one of those who read so. Those who wait for the queue to have something, as ReadAllAsync does, are all woken by each.
            while (await queue.ReadAsync(CancellationToken.None) is var i and not NoMore)
            {
                await SendAsync(i, log, giveUp);
                if (!giveUp.TryReset())
                {
                    giveUp.Dispose();
                    giveUp = new CancellationTokenSource();
                }

                EndOne();
            }

            giveUp.Dispose();
        }
        catch (Exception e)
        {
            _ended.TrySetException(e);
        }
    }

    private async Task SendAsync(int arrival, LoadLog log, CancellationTokenSource giveUp)
    {
        log[arrival].Sent = clock.Now;
        var left = log[arrival].Scheduled + _patience - log[arrival].Sent;
        if (left <= 0)
        {
            log[arrival].Outcome = Outcome.Unsent;
        }
        else
        {
            giveUp.CancelAfter(TimeSpan.FromSeconds((double)left / Stopwatch.Frequency));
            var outcome = await exchange.SendAsync(arrival, giveUp.Token);
            log[arrival].Outcome = outcome;
        }

        log[arrival].Ended = clock.Now;
    }
}
