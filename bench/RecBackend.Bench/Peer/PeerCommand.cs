using System.CommandLine;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Load;
using RecBackend.Cli;

namespace RecBackend.Bench.Peer;

/// <summary><c>rec bench peer</c>.</summary>
internal static class PeerCommand
{
    public static Command Create()
    {
        var candidates = WholeNumber.Option("--candidates", "Candidates of a request.", 500, 1, 5_000);
        var workers = WholeNumber.Option("--workers", "Processes of the peer's service.", 2, 1, 64);
        var redis = new Option<string>("--redis") { Description = "How the peer's service reaches Redis: socket or tcp.", DefaultValueFactory = _ => "socket" };
        redis.AcceptOnlyFromAmong("socket", "tcp");
        var rounds = WholeNumber.Option("--rounds", "How often saturation is looked for, of each in turn.", 2, 1, 20);
        var attempts = WholeNumber.Option("--attempts", "How often a rate must fail to count as not held: more where the machine is busy with other things.", 2, 1, 10);
        var shares = LoadCommand.Numbers("--shares", "What both are offered beside saturation itself, in parts of the peer's; and the server of its own.", "0.7");
        var held = WholeNumber.Option("--held-p99-ms", "A rate is held if 98 % of it are answered with a p99 of at most this.", 100, 1, 60_000);
        var probe = WholeNumber.Option("--probe-seconds", "Measured time of each try in the search for saturation.", 3, 1, 600);
        var warmUp = WholeNumber.Option("--warm-up", "Seconds of load before the measured ones, at each rate.", 2, 0, 600);
        var seconds = WholeNumber.Option("--seconds", "Measured time at each rate.", 10, 1, 7_200);
        var inFlight = WholeNumber.Option("--in-flight", "Connections at once; beyond, arrivals wait in the client.", 256, 1, 20_000);
        var seed = WholeNumber.Option("--seed", "Seed of arrivals, users and candidates.", 1, 0, int.MaxValue);
        var json = new Option<bool>("--json") { Description = "Print the figures as JSON on the last line." };
        var command = new Command(
            "peer",
            "Against what a team would build instead, Redis for vectors and a Node.js service that scores them (bench/peer): the same ranker, requests and generator, in turns.")
        {
            candidates, workers, redis, rounds, attempts, shares, held, probe, warmUp, seconds, inFlight, seed, SampleOptions.Bundle, SampleOptions.Data, json,
        };
        command.SetAction((parsed, cancellation) => new PeerBenchmark(new PeerOptions
        {
            Candidates = parsed.GetValue(candidates),
            Workers = parsed.GetValue(workers),
            Tcp = parsed.GetValue(redis) == "tcp",
            Rounds = parsed.GetValue(rounds),
            Attempts = parsed.GetValue(attempts),
            Shares = LoadCommand.Parse(parsed.GetValue(shares)!),
            HeldP99 = TimeSpan.FromMilliseconds(parsed.GetValue(held)),
            Probe = TimeSpan.FromSeconds(parsed.GetValue(probe)),
            WarmUp = TimeSpan.FromSeconds(parsed.GetValue(warmUp)),
            Measured = TimeSpan.FromSeconds(parsed.GetValue(seconds)),
            InFlight = parsed.GetValue(inFlight),
            Seed = parsed.GetValue(seed),
            Bundle = Path.GetFullPath(parsed.GetValue(SampleOptions.Bundle)!),
            Data = Path.GetFullPath(parsed.GetValue(SampleOptions.Data)!),
        }).RunAsync(parsed.GetValue(json), cancellation));
        return command;
    }
}
