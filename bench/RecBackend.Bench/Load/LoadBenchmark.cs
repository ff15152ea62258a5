using System.Globalization;
using System.Net;
using System.Text.Json;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;
using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Load;

/// <summary>Starts server and, for each rate, a generator; each is a process of its own.</summary>
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

    // Collections of a small heap on one thread: those of the server's kind would take a processor from the server under test.
    private static readonly Dictionary<string, string> GeneratorEnvironment = new() { ["DOTNET_gcServer"] = "0", ["DOTNET_gcConcurrent"] = "0" };

    private static readonly TimeSpan GeneratorStart = TimeSpan.FromSeconds(60);

    public async Task<int> RunAsync(bool json, CancellationToken cancellation)
    {
        var data = DataSet.Read(options.Data).WithAtLeast(options.Candidates);
        using var folder = new ScratchFolder(Path.GetTempPath());
        var prepared = await PreparedState.CreateAsync(Path.Combine(folder.Path, "prepared"), options.Bundle, data, cancellation);
        await using var server = await Stack.StartServerAsync(prepared.CopyTo(Path.Combine(folder.Path, "server")), cancellation, http2: true);
        await using var gateway = options.Gateway ? await Stack.StartGatewayAsync([server.Endpoint], http2: true, cancellation) : null;
        var front = gateway ?? server;
        var target = options.Http == HttpVersion.Version20 ? new Uri($"http://{front.Http2Endpoint}/") : front.Address;

        RunFacts.Print(Console.Out, null);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"load     {options.Candidates} candidates of {data.Items.Count:N0} items, limit {(options.Limit == 0 ? "none" : options.Limit)}, HTTP/{options.Http}{(options.Gateway ? " through the gateway" : "")}, Poisson arrivals, at most {options.InFlight:N0} in flight, given up after {options.Patience.TotalMilliseconds:N0} ms, seed {options.Seed}, {options.WarmUp.TotalSeconds:F0} s to warm up at each rate"));

        await AskEachOnceAsync(target, data, cancellation);
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

        var report = new LoadReport(options, saturation, points, storm);
        report.PrintTables(Console.Out);
        Directory.CreateDirectory(Path.GetDirectoryName(options.Plot)!);
        await File.WriteAllTextAsync(options.Plot, report.ToSvg(), cancellation);
        Console.WriteLine($"\nplot: {options.Plot}");
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
                Server = server.Address,
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
            var point = await GenerateAsync(plan, folder.Path, cancellation);
            ProgressLines.Say(LoadReport.Line(point));
            return point;
        }
    }

    // One after the other, so that the code is compiled, the users are encoded, and no rate pays for the ones before it.
    private async Task AskEachOnceAsync(Uri target, DataSet data, CancellationToken cancellation)
    {
        var bodies = GenerateCommand.Bodies(data, options.Candidates, options.Limit, options.Seed);
        using var exchange = new RankExchange(target, options.Http, bodies, connections: 1, options.Deadline);
        var progress = new ProgressLines("asking each request once", bodies.Length);
        for (var i = 0; i < bodies.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            if (await exchange.SendAsync(i, cancellation) is Outcome.Broken or Outcome.Unexpected or Outcome.FallbackOther)
            {
                throw new CommandException($"the server at {target} does not rank by its model");
            }

            progress.At(i + 1);
        }

        progress.Done();
    }

    /// <summary>Whether the server held the rate of <paramref name="point"/>.</summary>
    internal static bool Held(LoadPoint point, TimeSpan p99) =>
        point.Callers.Goodput >= HeldPart * point.Callers.Offered && point.Callers.All is { } all && all.P99 <= p99.TotalMicroseconds;

    private static async Task<LoadPoint> GenerateAsync(LoadPlan plan, string folder, CancellationToken cancellation)
    {
        var (planFile, resultFile) = (Path.Combine(folder, "plan.json"), Path.Combine(folder, "result.json"));
        File.Delete(resultFile);
        await File.WriteAllTextAsync(planFile, JsonSerializer.Serialize(plan, LoadJson.Options), cancellation);
        await using var generator = ChildProcess.Start(
            "generator", typeof(LoadBenchmark).Assembly.Location, ["generate", "--plan", planFile, "--result", resultFile], logFile: null, GeneratorEnvironment);
        await generator.Exited.WaitAsync(plan.WarmUp + plan.Measured + (plan.Storm?.Length + plan.Storm?.After ?? TimeSpan.Zero) + plan.Patience + GeneratorStart, cancellation);
        if (!File.Exists(resultFile))
        {
            throw generator.EndedTooEarly();
        }

        return JsonSerializer.Deserialize<LoadPoint>(await File.ReadAllTextAsync(resultFile, cancellation), LoadJson.Options)!;
    }
}
