using System.Globalization;
using System.Net;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;
using RecBackend.Bench.Rank;
using RecBackend.Core.Models;

namespace RecBackend.Bench.Load;

/// <summary>Starts what is to be measured and, for each rate, a generator; each is a process of its own.</summary>
internal sealed class LoadBenchmark(LoadOptions options)
{
    /// <summary>The part of the offered rankings that the model must answer for the rate to be held.</summary>
    public const double HeldPart = 0.98;

    // A search to the percent would take longer than the machine stays the same.
    private const double SearchPrecision = 1.05;
    private const double FirstRate = 50;

    // Around a storm: the load that the server is meant for.
    private const double CalmPart = 0.7;
    private static readonly TimeSpan CalmLength = TimeSpan.FromSeconds(10);

    private const int RecordedRankings = 16;
    private static readonly TimeSpan LimitLength = TimeSpan.FromSeconds(3);

    public async Task<int> RunAsync(bool json, CancellationToken cancellation)
    {
        var data = DataSet.Read(options.Data).WithAtLeast(options.Candidates);
        using var folder = new ScratchFolder(Path.GetTempPath());
        var prepared = await PreparedState.CreateAsync(Path.Combine(folder.Path, "prepared"), options.Bundle, data, cancellation);
        var (layout, tensors) = await RecordAsync(prepared.CopyTo(Path.Combine(folder.Path, "in-process")), data, cancellation);
        await using var asked = await LoadTarget.StartAsync(options, data, prepared, folder.Path, cancellation);
        var target = options.Http == HttpVersion.Version20 ? new Uri($"http://{asked.Front.Http2Endpoint}/") : asked.Front.Address;

        RunFacts.Print(Console.Out, null);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"load     {options.Candidates} candidates of {data.Items.Count:N0} items, limit {(options.Limit == 0 ? "none" : options.Limit)}, HTTP/{options.Http}{(options.Silos > 0 ? $", silos: {options.Silos}" : "")}{(options.Gateway ? " through the gateway" : "")}{(options.Apart ? ", generator and server on processors of their own" : "")}, Poisson arrivals, at most {options.InFlight:N0} in flight, given up after {options.Patience.TotalMilliseconds:N0} ms, seed {options.Seed}, {options.WarmUp.TotalSeconds:F0} s to warm up at each rate"));

        await GeneratorProcess.AskEachOnceAsync(target, options.Http, GenerateCommand.Bodies(data, options.Candidates, options.Limit, options.Seed), options.Deadline, cancellation);
        var cores = Environment.ProcessorCount - (options.Apart ? 1 : 0);
        var before = BareLimit.Measure(options.Bundle, layout, tensors, LimitLength, cores);
        ProgressLines.Say($"bare call: {before}");
        double? saturation = null;
        if (options.Rates.Length == 0)
        {
            saturation = await new SaturationSearch(FirstRate, SearchPrecision).FindAsync(async rate => Held(await MeasureAsync(rate, options.Probe), options.HeldP99));
            ProgressLines.Say(string.Create(CultureInfo.InvariantCulture, $"saturation {saturation:F0}/s"));
        }

        var points = new List<LoadPoint>();
        foreach (var rate in options.Rates.Length > 0 ? options.Rates : [.. options.Shares.Select(share => share * saturation!.Value)])
        {
            points.Add(await MeasureAsync(rate, TimeSpan.FromSeconds(Math.Max(options.Measured.TotalSeconds, options.Requests / rate))));
        }

        LoadPoint? storm = null;
        if (saturation is { } most && options.Storm > TimeSpan.Zero)
        {
            storm = await MeasureAsync(CalmPart * most, CalmLength, new LoadStorm(options.Shares.Max() * most, options.Storm, CalmLength));
        }

        var after = BareLimit.Measure(options.Bundle, layout, tensors, LimitLength, cores);
        var report = new LoadReport(options, saturation, points, storm, before, after);
        report.PrintTables(Console.Out);
        await SvgChart.SaveAsync(options.Plot, report.ToSvg(), cancellation);
        if (json)
        {
            Console.WriteLine(report.ToJson());
        }

        return 0;

        async Task<LoadPoint> MeasureAsync(double rate, TimeSpan measured, LoadStorm? storm = null)
        {
            var plan = new LoadPlan
            {
                Target = target,
                Servers = [.. asked.Hosts.Select(host => host.Address)],
                Http = options.Http,
                Rate = rate,
                WarmUp = options.WarmUp,
                Measured = measured,
                Storm = storm,
                InFlight = options.InFlight,
                Patience = options.Patience,
                Deadline = options.Deadline,
                Candidates = options.Candidates,
                Limit = options.Limit,
                Seed = options.Seed,
                Data = options.Data,
            };
            var point = await GeneratorProcess.MeasureAsync(plan, folder.Path, cancellation, options.Apart);
            ProgressLines.Say(LoadReport.Line(point));
            return point;
        }
    }

    // For the bare call: what the pipeline hands to the ranker in this load.
    private async Task<(ModelLayout Layout, IReadOnlyList<RankTensors> Tensors)> RecordAsync(string state, DataSet data, CancellationToken cancellation)
    {
        await using var engine = await BenchEngine.OpenAsync(state, cancellation);
        var workload = new RankWorkload(data, options.Candidates, RecordedRankings, options.Limit, options.Seed);
        return (engine.Layout, await engine.RecordAsync(workload, RecordedRankings));
    }

    /// <summary>Whether the server held the rate of <paramref name="point"/>.</summary>
    internal static bool Held(LoadPoint point, TimeSpan p99) =>
        point.Callers.Goodput >= HeldPart * point.Callers.Offered && point.Callers.All is { } all && all.P99 <= p99.TotalMicroseconds;
}
