using System.Diagnostics;
using System.Globalization;
using System.Net;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;
using RecBackend.Core.Ranking;

namespace RecBackend.Bench.Rank;

/// <summary>
/// Ranks the same requests in four ways, one caller at a time. The ways take turns in short rounds (A, B, C, D, A, B, …), so that whatever else the machine does hits all alike and their ratios
/// mean something even where the absolute figures wander.
/// </summary>
internal sealed class RankBenchmark(int[] sizes, int requests, int warmUp, int limit, int seed, string[] ways, string bundle, string dataFolder)
{
    /// <summary>Rankings of one way before the next has its turn.</summary>
    public const int RoundLength = 50;

    // Distinct requests; they come again and again. Enough that users and candidates vary, few enough to keep in memory.
    private const int DistinctRequests = 1_000;

    // Recorded rankings whose tensors the bare call runs on.
    private const int RecordedRankings = 16;

    // Before and after the ways that take turns.
    private static readonly TimeSpan LimitLength = TimeSpan.FromSeconds(1);

    public async Task<int> RunAsync(bool json, CancellationToken cancellation)
    {
        var data = DataSet.Read(dataFolder).WithAtLeast(sizes.Max());
        using var folder = new ScratchFolder(Path.GetTempPath());
        var prepared = await PreparedState.CreateAsync(Path.Combine(folder.Path, "prepared"), bundle, data, cancellation);
        await using var engine = await BenchEngine.OpenAsync(prepared.CopyTo(Path.Combine(folder.Path, "in-process")), cancellation);
        var overHttp = ways.Contains("http") || ways.Contains("gateway");
        await using var server = overHttp ? await Stack.StartServerAsync(prepared.CopyTo(Path.Combine(folder.Path, "server")), cancellation) : null;
        await using var gateway = ways.Contains("gateway") ? await Stack.StartGatewayAsync(cancellation, server!.Endpoint) : null;

        RunFacts.Print(Console.Out, engine.Layout.Version);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"load     one caller, {requests:N0} rankings of each kind after {warmUp:N0} to warm up, rounds of {RoundLength}, {data.Items.Count:N0} items, limit {(limit == 0 ? "none" : limit)}, seed {seed}"));

        var all = new List<RankFigures>();
        foreach (var size in sizes)
        {
            all.Add(await MeasureAsync(size, data, engine, server?.Endpoint, gateway?.Endpoint, cancellation));
        }

        RankFigures.PrintTable(Console.Out, all);
        if (json)
        {
            Console.WriteLine(RankFigures.ToJson(all));
        }

        return 0;
    }

    private async Task<RankFigures> MeasureAsync(
        int size, DataSet data, BenchEngine engine, IPEndPoint? server, IPEndPoint? gateway, CancellationToken cancellation)
    {
        var workload = new RankWorkload(data, size, DistinctRequests, limit, seed);
        var tensors = await engine.RecordAsync(workload, RecordedRankings);
        var before = BareLimit.Measure(bundle, engine.Layout, tensors, LimitLength);
        var stages = new List<StageTimes>();
        var took = new List<double>();
        var lanes = new List<RankLane> { new BareLane(new BareRanker(bundle, engine.Layout, size), tensors) };
        if (ways.Contains("inprocess"))
        {
            lanes.Add(new InProcessLane(engine.Ranker, workload, limit == 0 ? size : Math.Min(limit, size), stages.Add));
        }

        if (ways.Contains("http"))
        {
            lanes.Add(new SocketLane("http", server!, workload, took.Add));
        }

        if (gateway is not null)
        {
            lanes.Add(new SocketLane("gateway", gateway, workload, null));
        }

        if (server is not null)
        {
            lanes.Add(new EmptySocketLane(server, workload.Json(0)));
        }

        try
        {
            var samples = lanes.Select(_ => new LatencySample(requests)).ToArray();
            var progress = new ProgressLines(string.Create(CultureInfo.InvariantCulture, $"{size} candidates"), (long)(warmUp + requests) * lanes.Count);
            var done = 0L;
            for (var start = -warmUp; start < requests; start += RoundLength)
            {
                for (var lane = 0; lane < lanes.Count; lane++)
                {
                    for (var i = start; i < Math.Min(start + RoundLength, requests); i++)
                    {
                        var ticks = await RankAsync(lanes[lane], (i + warmUp) % workload.Count);
                        if (i >= 0)
                        {
                            samples[lane].Add(ticks);
                        }

                        cancellation.ThrowIfCancellationRequested();
                        progress.At(++done);
                    }
                }

                if (start < 0)
                {
                    stages.Clear();
                    took.Clear();
                }
            }

            progress.Done();
            return new RankFigures(
                size,
                [.. lanes.Zip(samples, (lane, sample) => (lane.Name, sample))],
                [
                    ("user", Median(stages.Select(x => x.UserRead.TotalMicroseconds))),
                    ("gather", Median(stages.Select(x => x.Gather.TotalMicroseconds))),
                    ("run", Median(stages.Select(x => x.Run.TotalMicroseconds))),
                    ("total", Median(stages.Select(x => x.Total.TotalMicroseconds))),
                ],
                Median(took),
                BareLimit.Mean(before, BareLimit.Measure(bundle, engine.Layout, tensors, LimitLength)));
        }
        finally
        {
            foreach (var lane in lanes)
            {
                lane.Dispose();
            }
        }
    }

    private static async ValueTask<long> RankAsync(RankLane lane, int request)
    {
        lane.Prepare(request);
        var start = Stopwatch.GetTimestamp();
        await lane.RankAsync(request);
        var ticks = Stopwatch.GetTimestamp() - start;
        lane.Check(request);
        return ticks;
    }

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted.Length == 0 ? double.NaN : sorted[sorted.Length / 2];
    }
}
