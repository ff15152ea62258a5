using System.Globalization;
using System.Text.Json;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Load;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Rank;

/// <summary>
/// Two bundles on the same serving path, each with an engine in this process and a server of its own, asked the same in turns; and each as it would be without a cache, which encodes candidates,
/// history and user in every request.
/// </summary>
internal sealed class BundleComparison(int size, int requests, int seed, string[] bundles, string dataFolder)
{
    private const int DistinctRequests = 500;

    // They take up to seconds each.
    private const int UncachedRequests = 20;

    public async Task<int> RunAsync(bool json, CancellationToken cancellation)
    {
        var data = DataSet.Read(dataFolder).WithAtLeast(size);
        using var folder = new ScratchFolder(Path.GetTempPath());
        var running = new List<IAsyncDisposable>();
        var lanes = new List<RankLane>();
        try
        {
            var names = new List<string>();
            var uncached = new List<RankLane>();
            var workload = new RankWorkload(data, size, DistinctRequests, 0, seed);
            for (var i = 0; i < bundles.Length; i++)
            {
                var place = string.Create(CultureInfo.InvariantCulture, $"bundle-{i}");
                var prepared = await PreparedState.CreateAsync(Path.Combine(folder.Path, place, "prepared"), bundles[i], data, cancellation);
                var engine = await BenchEngine.OpenAsync(prepared.CopyTo(Path.Combine(folder.Path, place, "in-process")), cancellation);
                running.Add(engine);
                var server = await Stack.StartServerAsync(prepared.CopyTo(Path.Combine(folder.Path, place, "server")), cancellation);
                running.Add(server);
                names.Add(engine.Layout.Version);
                lanes.Add(new BareLane(new BareRanker(bundles[i], engine.Layout, size), await engine.RecordAsync(workload, 16)));
                lanes.Add(new InProcessLane(engine.Ranker, workload, size, _ => { }));
                lanes.Add(new SocketLane("http", server.Endpoint, workload, null));
                uncached.Add(new UncachedLane(engine, workload, data));
            }

            RunFacts.Print(Console.Out, string.Join(", ", names));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"load     one caller, {size} candidates of {data.Items.Count:N0} items, {requests:N0} rankings of each way, {UncachedRequests} uncached ones, in turns, seed {seed}"));
            var cached = await Turns.MeasureAsync("in turns", [.. lanes.Select(x => x.ToTurn(workload.Count))], requests, cancellation);
            var without = await Turns.MeasureAsync("uncached", [.. uncached.Select(x => x.ToTurn(workload.Count))], UncachedRequests, cancellation);

            var ways = lanes.Count / bundles.Length;
            (string Name, LatencySample[] Samples)[] rows =
            [
                .. new[] { "bare ONNX Runtime call", "pipeline in process", "over HTTP" }.Select((name, way) => (name, bundles.Select((_, i) => cached[(i * ways) + way]).ToArray())),
                ("in process, nothing cached", without),
            ];
            Print(names, rows);
            if (json)
            {
                Console.WriteLine(JsonSerializer.Serialize(
                    new
                    {
                        Candidates = size,
                        Bundles = names,
                        Ways = rows.Select(x => new { x.Name, P50 = x.Samples.Select(s => s.Percentile(0.5)), P99 = x.Samples.Select(s => s.Percentile(0.99)), Ratio = Ratio(x.Samples) }),
                    },
                    LoadJson.Options));
            }

            return 0;
        }
        finally
        {
            lanes.ForEach(x => x.Dispose());
            foreach (var one in running)
            {
                await one.DisposeAsync();
            }
        }
    }

    private static void Print(List<string> names, (string Name, LatencySample[] Samples)[] rows)
    {
        Console.WriteLine();
        Console.WriteLine($"| way | {string.Join(" | ", names.Select(x => $"{x}, p50 µs | p99 µs"))} | p50, last ÷ first |");
        Console.WriteLine($"|---|{string.Concat(names.Select(_ => "---:|---:|"))}---:|");
        foreach (var (name, samples) in rows)
        {
            var cells = samples.Select(x => string.Create(CultureInfo.InvariantCulture, $"{x.Percentile(0.5):N0} | {x.Percentile(0.99):N0}"));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {string.Join(" | ", cells)} | {Ratio(samples):F2} |"));
        }
    }

    private static double Ratio(LatencySample[] samples) => samples[^1].Percentile(0.5) / samples[0].Percentile(0.5);
}
