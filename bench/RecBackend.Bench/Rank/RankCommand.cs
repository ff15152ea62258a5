using System.CommandLine;
using RecBackend.Bench.DataSets;

namespace RecBackend.Bench.Rank;

/// <summary><c>rec bench rank</c>.</summary>
internal static class RankCommand
{
    public static Command Create()
    {
        var candidates = new Option<string>("--candidates") { Description = "Numbers of candidates, separated by commas.", DefaultValueFactory = _ => "100,500,2000" };
        var requests = new Option<int>("--requests") { Description = "Measured rankings of each kind and size.", DefaultValueFactory = _ => 2_000 };
        var warmUp = new Option<int>("--warm-up") { Description = "Rankings of each kind and size before the measured ones.", DefaultValueFactory = _ => 1_000 };
        var limit = new Option<int>("--limit") { Description = "How many of the best a ranking returns; 0 = all.", DefaultValueFactory = _ => 0 };
        var seed = new Option<int>("--seed") { Description = "Seed of users and candidates.", DefaultValueFactory = _ => 1 };
        var ways = new Option<string>("--ways")
        {
            Description = "Which to measure beside the bare call: inprocess, http, gateway.",
            DefaultValueFactory = _ => "inprocess,http,gateway",
        };
        var bundles = new Option<string?>("--bundles")
        {
            Description = "Folders of two bundles, separated by a comma: compares them on the same path, at the last number of candidates, and shows what they would cost uncached.",
        };
        bundles.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>()?.Split(',') is { } folders && (folders.Length != 2 || !folders.All(x => File.Exists(Path.Combine(x, "manifest.json")))))
            {
                result.AddError("--bundles takes two folders with a manifest.json each, separated by a comma.");
            }
        });
        var json = new Option<bool>("--json") { Description = "Print the figures as JSON on the last line." };
        var command = new Command(
            "rank",
            "Latency of a ranking, one caller at a time: the bare ONNX Runtime call, the pipeline in process, over HTTP, and through the gateway, interleaved in one run.")
        {
            candidates, requests, warmUp, limit, seed, ways, bundles, SampleOptions.Bundle, SampleOptions.Data, json,
        };
        candidates.Validators.Add(result =>
        {
            if (!result.GetValueOrDefault<string>().Split(',').All(x => int.TryParse(x, out var n) && n is > 0 and <= 5_000))
            {
                result.AddError("--candidates takes whole numbers from 1 to 5000, separated by commas.");
            }
        });
        ways.Validators.Add(result =>
        {
            if (!result.GetValueOrDefault<string>().Split(',').All(x => x is "inprocess" or "http" or "gateway"))
            {
                result.AddError("--ways takes inprocess, http and gateway, separated by commas.");
            }
        });
        requests.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 100)
            {
                result.AddError("--requests takes at least 100: fewer say nothing about a p99.");
            }
        });
        command.SetAction((parsed, cancellation) => parsed.GetValue(bundles) is { } two
            ? new BundleComparison(
                int.Parse(parsed.GetValue(candidates)!.Split(',')[^1], System.Globalization.CultureInfo.InvariantCulture),
                parsed.GetValue(requests),
                parsed.GetValue(seed),
                [.. two.Split(',').Select(Path.GetFullPath)],
                parsed.GetValue(SampleOptions.Data)!).RunAsync(parsed.GetValue(json), cancellation)
            : new RankBenchmark(
            [.. parsed.GetValue(candidates)!.Split(',').Select(int.Parse)],
            parsed.GetValue(requests),
            parsed.GetValue(warmUp),
            parsed.GetValue(limit),
            parsed.GetValue(seed),
            parsed.GetValue(ways)!.Split(','),
            parsed.GetValue(SampleOptions.Bundle)!,
            parsed.GetValue(SampleOptions.Data)!).RunAsync(parsed.GetValue(json), cancellation));
        return command;
    }
}
