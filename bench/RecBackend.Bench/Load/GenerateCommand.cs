using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Rank;
using RecBackend.Cli;

namespace RecBackend.Bench.Load;

/// <summary><c>rec bench generate</c>: the generator as a process of its own, so that neither its collections nor its threads mix with anything else. <c>rec bench load</c> starts it.</summary>
internal static class GenerateCommand
{
    // Distinct requests; they come again and again. Enough that users and candidates vary, few enough to keep in memory.
    private const int DistinctRequests = 1_000;

    // Short beside the two seconds that a server may take to recover, long enough for a median.
    private static readonly TimeSpan StormSlot = TimeSpan.FromMilliseconds(250);

    public static Command Create()
    {
        var plan = new Option<string>("--plan") { Required = true, Description = "File with the plan." };
        var result = new Option<string>("--result") { Required = true, Description = "File that the figures are written to." };
        var command = new Command("generate", "One open-loop load by plan.") { plan, result };
        command.Hidden = true;
        command.SetAction(async (parsed, cancellation) =>
        {
            var goesFirst = KernelClock.GoBeforeOthers();
            var read = JsonSerializer.Deserialize<LoadPlan>(await File.ReadAllTextAsync(parsed.GetValue(plan)!, cancellation), LoadJson.Options)!;
            var point = await RunAsync(read, goesFirst, cancellation);
            await File.WriteAllTextAsync(parsed.GetValue(result)!, JsonSerializer.Serialize(point, LoadJson.Options), cancellation);
            return 0;
        });
        return command;
    }

    /// <summary>The requests that arrivals take in turn.</summary>
    internal static ReadOnlyMemory<byte>[] Bodies(DataSet data, int candidates, int limit, int seed)
    {
        var workload = new RankWorkload(data, candidates, DistinctRequests, limit, seed);
        return [.. Enumerable.Range(0, workload.Count).Select(i => (ReadOnlyMemory<byte>)workload.Json(i))];
    }

    private static async Task<LoadPoint> RunAsync(LoadPlan plan, bool goesFirst, CancellationToken cancellation)
    {
        var bodies = Bodies(DataSet.Read(plan.Data).WithAtLeast(plan.Candidates), plan.Candidates, plan.Limit, plan.Seed);
        var storm = plan.Storm is { } parts ? new[] { (parts.Rate, parts.Length), (plan.Rate, parts.After) } : [];
        var schedule = PoissonArrivals.Draw([(plan.Rate, plan.WarmUp + plan.Measured), .. storm], plan.Seed);
        var first = Array.FindIndex(schedule, at => at >= plan.WarmUp.TotalSeconds * Stopwatch.Frequency);
        if (first < 0)
        {
            throw new CommandException($"no request arrives within {plan.Measured.TotalSeconds} s at {plan.Rate}/s; measure for longer");
        }

        using var exchange = Exchange.Create(plan.Target, plan.Http, bodies, plan.Deadline);
        using var metrics = new HttpClient { Timeout = TimeSpan.FromSeconds(10) };
        var before = Task.FromResult<Reading?>(null);
        var after = before;

        // The setting up leaves garbage, whose collection would fall into the first arrivals.
        GC.Collect();
        var log = await new LoadGenerator(new KernelClock(), exchange, plan.InFlight, plan.Patience).RunAsync(schedule, Issued, cancellation);
        return new LoadPoint(
            plan.Rate,
            log.Figures(plan.WarmUp, plan.WarmUp + plan.Measured),
            await before is { Server: { } earlier } && await after is { Server: { } later } ? later.Since(earlier) : null,
            (await after)!.Since((await before)!, goesFirst),
            plan.Storm is null ? null : OfStorm(log, plan.Storm, plan.WarmUp, plan.WarmUp + plan.Measured));

        void Issued(int arrival)
        {
            if (arrival == first)
            {
                before = Task.Run(() => Reading.TakeAsync(metrics, plan.Servers));
            }

            if (arrival == schedule.Length - 1)
            {
                after = Task.Run(() => Reading.TakeAsync(metrics, plan.Servers));
            }
        }
    }

    private static StormFigures OfStorm(LoadLog log, LoadStorm storm, TimeSpan calm, TimeSpan begin)
    {
        var usual = log.Figures(calm, begin).Model?.P99 ?? 0;
        var end = begin + storm.Length;
        return new StormFigures(log.Figures(begin, end), log.Figures(end, end + storm.After), log.TroubleAfter(end, end + storm.After, StormSlot, usual)?.TotalSeconds);
    }

    // Both processes at one moment.
    private sealed record Reading(ServerCounters? Server, long At, TimeSpan Processor, TimeSpan Pause)
    {
        public static async Task<Reading?> TakeAsync(HttpClient metrics, Uri[] servers)
        {
            var (at, processor, pause) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime, GC.GetTotalPauseDuration());
            try
            {
                return new Reading(await ServerCounters.ReadAsync(metrics, servers), at, processor, pause);
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException)
            {
                // What the server used is then left out; what the callers saw of it is not.
                return new Reading(null, at, processor, pause);
            }
        }

        public GeneratorUse Since(Reading before, bool goesFirst) => new(
            (Processor - before.Processor) / Stopwatch.GetElapsedTime(before.At, At),
            (Pause - before.Pause).TotalMilliseconds,
            goesFirst);
    }
}
