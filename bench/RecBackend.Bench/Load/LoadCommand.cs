using System.CommandLine;
using System.Globalization;
using System.Net;
using RecBackend.Bench.DataSets;
using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Load;

/// <summary><c>rec bench load</c>.</summary>
internal static class LoadCommand
{
    public static Command Create()
    {
        var http = new Option<string>("--http") { Description = "1.1 (kept connections) or 2 (without TLS).", DefaultValueFactory = _ => "1.1" };
        http.AcceptOnlyFromAmong("1.1", "2");
        var gateway = new Option<bool>("--gateway") { Description = "Go through the gateway." };
        var silos = WholeNumber.Option("--silos", "Silos of a cluster on this machine, with Redis and Azurite, in place of the server; more than one go with --gateway.", 0, 0, 8);
        var apart = new Option<bool>("--apart") { Description = "Give the generator the last processor and the server (and gateway) the others, as if callers were on another machine." };
        var rates = Numbers("--rates", "Rankings a second to offer, separated by commas, instead of shares of saturation.", "");
        var shares = Numbers("--shares", "What to offer, in parts of saturation, which is looked for first.", "0.1,0.3,0.5,0.7,0.9,1,2,10");
        var held = WholeNumber.Option("--held-p99-ms", "A rate is held if 98 % of it are answered by the model and the p99 of all requests is at most this.", 100, 1, 60_000);
        var probe = WholeNumber.Option("--probe-seconds", "Measured time of each try in the search for saturation.", 5, 1, 600);
        var warmUp = WholeNumber.Option("--warm-up", "Seconds of load before the measured ones, at each rate.", 5, 0, 600);
        var seconds = WholeNumber.Option("--seconds", "Measured time at each rate, at least.", 30, 1, 7_200);
        var requests = WholeNumber.Option("--requests", "Measured requests at each rate, at least: low rates then take longer. A figure to publish has 100000, a headline 270336 in 600 s.", 1, 1, 100_000_000);
        var storm = WholeNumber.Option("--storm-seconds", "After a sweep: 0.7 of saturation, its highest share for so long, and 0.7 again; tells how long the trouble lasts. 0 = no storm.", 10, 0, 600);
        var inFlight = WholeNumber.Option("--in-flight", "Requests on the wire at once: connections of HTTP/1.1, streams of HTTP/2. Beyond, arrivals wait in the client.", 1_024, 1, 20_000);
        var patience = WholeNumber.Option("--patience-ms", "How long after its scheduled arrival a request is given up.", 2_000, 10, 60_000);
        var deadline = WholeNumber.Option("--deadline-ms", "Request-Timeout-Ms of each request; 0 = none, which leaves it to the server.", 0, 0, 30_000);
        var candidates = WholeNumber.Option("--candidates", "Candidates of a request.", 500, 1, 5_000);
        var limit = WholeNumber.Option("--limit", "How many of the best a ranking returns; 0 = all.", 0, 0, 5_000);
        var seed = WholeNumber.Option("--seed", "Seed of arrivals, users and candidates.", 1, 0, int.MaxValue);
        var plot = new Option<string>("--plot")
        {
            Description = "File of the plot (SVG). Default: artifacts/bench/load.svg",
            DefaultValueFactory = _ => Path.Combine(Installation.Root, "artifacts/bench/load.svg"),
        };
        var json = new Option<bool>("--json") { Description = "Print the figures as JSON on the last line." };
        var command = new Command(
            "load",
            "Open loop: rankings arrive over HTTP at random moments (Poisson) from a process of its own, however slow the server is. Finds saturation, then measures below, at and above it.")
        {
            http, gateway, silos, apart, rates, shares, held, probe, warmUp, seconds, requests, storm, inFlight, patience, deadline, candidates, limit, seed, plot, SampleOptions.Bundle, SampleOptions.Data, json,
        };
        command.Validators.Add(result =>
        {
            if (result.GetValue(silos) > 1 && !result.GetValue(gateway))
            {
                result.AddError("--silos: callers of more than one go through the gateway; add --gateway.");
            }

            if (result.GetValue(silos) > 0 && result.GetValue(http) == "2")
            {
                result.AddError("--silos: silos are asked by HTTP/1.1.");
            }
        });
        command.SetAction((parsed, cancellation) => new LoadBenchmark(new LoadOptions
        {
            Http = parsed.GetValue(http) == "2" ? HttpVersion.Version20 : HttpVersion.Version11,
            Gateway = parsed.GetValue(gateway),
            Silos = parsed.GetValue(silos),
            Apart = parsed.GetValue(apart),
            Rates = Parse(parsed.GetValue(rates)!),
            Shares = Parse(parsed.GetValue(shares)!),
            HeldP99 = TimeSpan.FromMilliseconds(parsed.GetValue(held)),
            Probe = TimeSpan.FromSeconds(parsed.GetValue(probe)),
            WarmUp = TimeSpan.FromSeconds(parsed.GetValue(warmUp)),
            Measured = TimeSpan.FromSeconds(parsed.GetValue(seconds)),
            Requests = parsed.GetValue(requests),
            Storm = TimeSpan.FromSeconds(parsed.GetValue(storm)),
            InFlight = parsed.GetValue(inFlight),
            Patience = TimeSpan.FromMilliseconds(parsed.GetValue(patience)),
            Deadline = parsed.GetValue(deadline) is > 0 and var milliseconds ? TimeSpan.FromMilliseconds(milliseconds) : null,
            Candidates = parsed.GetValue(candidates),
            Limit = parsed.GetValue(limit),
            Seed = parsed.GetValue(seed),
            Plot = Path.GetFullPath(parsed.GetValue(plot)!),
            Bundle = Path.GetFullPath(parsed.GetValue(SampleOptions.Bundle)!),
            Data = Path.GetFullPath(parsed.GetValue(SampleOptions.Data)!),
        }).RunAsync(parsed.GetValue(json), cancellation));
        return command;
    }

    /// <summary>An option that takes numbers above 0, separated by commas.</summary>
    internal static Option<string> Numbers(string name, string description, string absent)
    {
        var option = new Option<string>(name) { Description = description, DefaultValueFactory = _ => absent };
        option.Validators.Add(result =>
        {
            var text = result.GetValueOrDefault<string>();
            if (text.Length > 0 && !text.Split(',').All(x => double.TryParse(x, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && number is > 0 and <= 1_000_000))
            {
                result.AddError($"{name} takes numbers above 0, separated by commas.");
            }
        });
        return option;
    }

    /// <summary>The numbers of such an option, rising.</summary>
    internal static double[] Parse(string numbers) =>
        [.. numbers.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(x => double.Parse(x, CultureInfo.InvariantCulture)).Order()];
}
