using System.Globalization;
using System.Text.Json;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Rank;

namespace RecBackend.Bench.Load;

/// <summary>Tables, plot and JSON of a run.</summary>
internal sealed class LoadReport(LoadOptions options, double? saturation, IReadOnlyList<LoadPoint> points, LoadPoint? storm, BareLimit before, BareLimit after)
{
    private static readonly (string Name, string Colour, Func<Percentiles, double> Value)[] Curves =
    [
        ("p50", "#1b7837", x => x.P50),
        ("p95", "#2166ac", x => x.P95),
        ("p99", "#b2182b", x => x.P99),
        ("p99.9", "#762a83", x => x.P999),
        ("max", "#999999", x => x.Max),
    ];

    private readonly BareLimit _limit = BareLimit.Mean(before, after);

    /// <summary>One point in one line.</summary>
    public static string Line(LoadPoint point) => string.Create(
        CultureInfo.InvariantCulture,
        $"{point.Callers.Offered:F0}/s offered, {point.Callers.Goodput:F0}/s by the model, p50 {Milliseconds(point.Callers.Model?.P50)} ms, p99 {Milliseconds(point.Callers.Model?.P99)} ms, {Failures(point.Callers)}");

    /// <summary>The tables for people.</summary>
    public void PrintTables(TextWriter output)
    {
        output.WriteLine();
        if (saturation is { } rate)
        {
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"saturation {rate:F0} rankings/s: the highest rate of which the model answers {LoadBenchmark.HeldPart:P0} with a p99 of at most {options.HeldP99.TotalMilliseconds:F0} ms; {rate / _limit.AllCores:P0} of the bare calls that all cores do together"));
            output.WriteLine();
        }

        output.WriteLine("| offered/s | achieved/s | goodput/s | p50 ms | p95 ms | p99 ms | p99.9 ms | max ms | all: p99 ms | not by the model |");
        output.WriteLine("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|");
        foreach (var point in points)
        {
            var (seen, model) = (point.Callers, point.Callers.Model);
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {seen.Offered:F0} | {seen.Achieved:F0} | {seen.Goodput:F0} | {Milliseconds(model?.P50)} | {Milliseconds(model?.P95)} | {Milliseconds(model?.P99)} | {Milliseconds(model?.P999)} | {Milliseconds(model?.Max)} | {Milliseconds(seen.All?.P99)} | {Failures(seen)} |"));
        }

        output.WriteLine();
        output.WriteLine("| offered/s | server cores | server CPU µs/request | ÷ bare | allocated B/request | collections 0/1/2 | pauses ms | memory MiB | waited in client p50 / p99 ms | found no connection | issued late p99 ms | generator cores | its pauses ms |");
        output.WriteLine("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach (var point in points)
        {
            var (seen, server) = (point.Callers, point.Server);
            var used = server is null
                ? "not read | | | | | | "
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $"{server.Cores:F2} | {server.ProcessorMicrosecondsPerRequest:F0} | {server.ProcessorMicrosecondsPerRequest / _limit.ProcessorMicroseconds:F2} | {server.AllocatedBytesPerRequest:F0} | {server.Gen0}/{server.Gen1}/{server.Gen2} | {server.PauseMilliseconds:F1} | {server.WorkingSetBytes / 1048576.0:F0}");
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {seen.Offered:F0} | {used} | {Milliseconds(seen.ClientWait?.P50)} / {Milliseconds(seen.ClientWait?.P99)} | {seen.FoundNoConnection} | {Milliseconds(seen.IssuedLate?.P99)} | {point.Generator.Cores:F2} | {point.Generator.PauseMilliseconds:F1} |"));
        }

        output.WriteLine();
        output.WriteLine($"bare ONNX Runtime call, before: {before}");
        output.WriteLine($"bare ONNX Runtime call, after: {after}");
        PrintStorm(output);
        GeneratorNotes.Print(output, points);
    }

    private void PrintStorm(TextWriter output)
    {
        if (storm is not { Storm: { } seen, Callers: var calm })
        {
            return;
        }

        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"storm: {calm.Offered:F0}/s at p99 {Milliseconds(calm.Model?.P99)} ms; then {options.Storm.TotalSeconds:F0} s of {seen.During.Offered:F0}/s, {seen.During.Goodput:F0}/s of them by the model at p99 {Milliseconds(seen.During.Model?.P99)} ms; then {seen.After.Offered:F0}/s again, {(seen.TroubleSeconds is { } seconds ? string.Create(CultureInfo.InvariantCulture, $"as before after {seconds:F2} s") : "not as before until the end")}"));
    }

    /// <summary>Latency and goodput by offered rate.</summary>
    public string ToSvg()
    {
        var name = $"{options.Candidates} candidates, HTTP/{options.Http}{(options.Gateway ? ", gateway" : "")}{(options.Apart ? ", apart" : "")}";
        var latency = new SvgChart($"Latency of rankings by the model from the scheduled arrival, {name}", "offered, 1/s", "ms")
        {
            Lines = [.. Curves.Select(curve => new SvgLine(
                curve.Name,
                curve.Colour,
                [.. points.Where(x => x.Callers.Model is not null).Select(x => (x.Callers.Offered, curve.Value(x.Callers.Model!) / 1e3))]))],
            Mark = saturation is { } rate ? (rate, "saturation") : null,
        };
        var goodput = new SvgChart("Rankings by the model a second", "offered, 1/s", "goodput, 1/s")
        {
            Lines =
            [
                new SvgLine("all that is offered", "#999999", [.. points.Select(x => (x.Callers.Offered, x.Callers.Offered))]),
                new SvgLine("goodput", "#2166ac", [.. points.Where(x => x.Callers.Goodput > 0).Select(x => (x.Callers.Offered, x.Callers.Goodput))]),
            ],
            Mark = latency.Mark,
        };
        return SvgChart.Draw(latency, goodput);
    }

    /// <summary>One JSON object.</summary>
    public string ToJson() => JsonSerializer.Serialize(
        new
        {
            Candidates = options.Candidates,
            Http = options.Http.ToString(),
            options.Gateway,
            options.Apart,
            options.InFlight,
            PatienceMs = options.Patience.TotalMilliseconds,
            HeldP99Ms = options.HeldP99.TotalMilliseconds,
            Saturation = saturation,
            SaturationOfLimit = saturation / _limit.AllCores,
            Bare = new[] { before, after },
            Storm = storm,
            Points = points.Select(x => new
            {
                x.Rate,
                OfSaturation = saturation is { } rate ? Math.Round(x.Rate / rate, 3) : (double?)null,
                x.Callers,
                ServerProcessorOverBare = x.Server?.ProcessorMicrosecondsPerRequest / _limit.ProcessorMicroseconds,
                x.Server,
                x.Generator,
            }),
        },
        LoadJson.Options);

    private static string Failures(LoadFigures figures)
    {
        var failures = figures.Outcomes.Where(x => x.Key != Outcome.Model && x.Value > 0)
            .Select(x => string.Create(CultureInfo.InvariantCulture, $"{Name(x.Key)} {100.0 * x.Value / figures.Arrivals:0.##} %"));
        return string.Join(", ", failures) is { Length: > 0 } text ? text : "none";
    }

    private static string Name(Outcome outcome) => outcome switch
    {
        Outcome.FallbackOverloaded => "fallback (overloaded)",
        Outcome.FallbackDeadline => "fallback (deadline)",
        Outcome.FallbackOther => "fallback (other)",
        Outcome.TooManyRequests => "429",
        Outcome.Unavailable => "503",
        Outcome.TimedOut => "timed out",
        Outcome.Unsent => "given up unsent",
        Outcome.Broken => "broken",
        _ => "unexpected",
    };

    private static string Milliseconds(double? microseconds) => microseconds is { } value ? (value / 1e3).ToString(value < 100_000 ? "F2" : "F0", CultureInfo.InvariantCulture) : "–";
}
