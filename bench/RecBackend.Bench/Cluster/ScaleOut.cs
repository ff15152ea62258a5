using System.Diagnostics;
using System.Globalization;
using System.Net;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;
using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Cluster;

/// <summary>
/// Rankings a second of one, two and three scoring silos with the same share of the processor each, beside one entity silo that holds the users, and of the embedded server with that share. The ways
/// take turns in one run, so that whatever else the machine does hits all alike.
/// </summary>
internal sealed class ScaleOut(ClusterRun run)
{
    public const string Part = "scale";

    private const int MostSilos = 3;
    private const int Items = 10_000;
    private const int Candidates = 500;
    private const int EventsOfUser = 20;
    private const int CallersOfHost = 4;
    private const int Rounds = 4;

    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(4);

    // Of all hosts alike, whichever share they have: the runtime sizes its pools and heaps by it.
    private static readonly Dictionary<string, string> OneProcessor = new() { ["DOTNET_PROCESSOR_COUNT"] = "1" };

    /// <summary>Measures.</summary>
    /// <returns>Version of the bundle.</returns>
    public async Task<string?> MeasureAsync(CancellationToken cancellation)
    {
        var shares = new List<CpuShare>();
        try
        {
            try
            {
                for (var host = 0; host <= MostSilos; host++)
                {
                    shares.Add(CpuShare.Create(string.Create(CultureInfo.InvariantCulture, $"{host}")));
                }
            }
            catch (CommandException e)
            {
                ProgressLines.Say($"the scale-out is left out: {e.Message}");
                return null;
            }

            return await MeasureAsync(shares, cancellation);
        }
        finally
        {
            shares.ForEach(share => share.Dispose());
        }
    }

    private async Task<string> MeasureAsync(List<CpuShare> shares, CancellationToken cancellation)
    {
        await using var silos = new LocalSilos(run.Stores, run.Folder, "scale");
        await silos.StartAsync("entity", ["entity"], cancellation);
        var scoring = new List<HostProcess>();
        for (var silo = 1; silo <= MostSilos; silo++)
        {
            scoring.Add(await silos.StartAsync(string.Create(CultureInfo.InvariantCulture, $"scoring-{silo}"), ["scoring"], cancellation, environment: OneProcessor));
        }

        await using var server = HostProcess.Start("server", Installation.Server, HostProcess.FreeEndpoint(), Stack.ServerArguments(Path.Combine(run.Folder, "server")), OneProcessor);
        await server.UntilAnsweringAsync(cancellation);
        await FillAsync(server, cancellation);
        var bundle = await FillAsync(scoring[0], cancellation);
        foreach (var silo in scoring)
        {
            await silo.UntilReadyAsync(cancellation);
        }

        var gateways = new List<HostProcess>();
        try
        {
            gateways.Add(await Stack.StartGatewayAsync(cancellation, server.Endpoint));
            for (var silo = 1; silo <= MostSilos; silo++)
            {
                gateways.Add(await Stack.StartGatewayAsync(cancellation, scoring.Take(silo).Select(one => one.Endpoint)));
            }

            var lanes = new List<Lane>
            {
                new("embedded", "embedded server", [server], null),
                new("embedded_gateway", "embedded server behind the gateway", [server], gateways[0]),
            };
            for (var silo = 1; silo <= MostSilos; silo++)
            {
                var name = silo == 1 ? "1 silo" : $"{silo} silos";
                lanes.Add(new($"silos_{silo}", name, [.. scoring.Take(silo)], null));
                lanes.Add(new($"silos_{silo}_gateway", $"{name} behind the gateway", [.. scoring.Take(silo)], gateways[silo]));
            }

            await MeasureAsync(lanes, shares, [server, .. scoring], cancellation);
            return bundle;
        }
        finally
        {
            foreach (var gateway in gateways)
            {
                await gateway.DisposeAsync();
            }
        }
    }

    private async Task MeasureAsync(List<Lane> lanes, List<CpuShare> shares, HostProcess[] hosts, CancellationToken cancellation)
    {
        ProgressLines.Say("warming up without bounds");
        foreach (var lane in lanes)
        {
            await lane.RunAsync(WarmUp / 2, null, cancellation);
        }

        foreach (var (share, host) in shares.Zip(hosts))
        {
            share.Add(host.Id);
            share.Limit(run.Options.Share);
        }

        for (var round = 0; round < Rounds; round++)
        {
            foreach (var lane in lanes)
            {
                ProgressLines.Say(string.Create(CultureInfo.InvariantCulture, $"round {round + 1} of {Rounds}: {lane.Name}"));
                await lane.RunAsync(run.Options.Time / Rounds, lane.Result, cancellation);
            }
        }

        foreach (var lane in lanes)
        {
            var result = lane.Result;
            var rate = result.Rate;
            Add($"{lane.Key}_per_second", $"{lane.Name}: rankings of {Candidates} a second", rate, "");
            Add($"{lane.Key}_p50_ms", "p50", result.Calls.Percentile(0.5) / 1000, "ms");
            Add($"{lane.Key}_p99_ms", "p99", result.Calls.Percentile(0.99) / 1000, "ms");
            Add($"{lane.Key}_fallbacks", "answered by the fallback beside them", result.Fallbacks, "");
            Add($"{lane.Key}_host_cpu_ms", "processor time of its hosts for each ranking", result.HostProcessor.TotalMilliseconds / (result.Calls.Count + result.Fallbacks), "ms");
            Add($"{lane.Key}_share_used", "of their shares used", result.HostProcessor / (result.Elapsed * lane.Hosts.Count * run.Options.Share), "");
            if (result.GatewayProcessor > TimeSpan.Zero)
            {
                Add($"{lane.Key}_gateway_cpu_ms", "processor time of the gateway for each ranking", result.GatewayProcessor.TotalMilliseconds / (result.Calls.Count + result.Fallbacks), "ms");
            }
        }

        double Rate(string key) => lanes.First(lane => lane.Key == key).Result.Rate;
        foreach (var way in (string[])["", "_gateway"])
        {
            var name = way.Length == 0 ? "directly" : "behind the gateway";
            Add($"one_to_embedded{way}", $"1 silo ÷ embedded, {name}", Rate($"silos_1{way}") / Rate($"embedded{way}"), "");
            Add($"two_to_one{way}", $"2 silos ÷ 1, {name}", Rate($"silos_2{way}") / Rate($"silos_1{way}"), "");
            Add($"three_to_one{way}", $"3 silos ÷ 1, {name}", Rate($"silos_3{way}") / Rate($"silos_1{way}"), "");
        }
    }

    // The same bundle, items and histories for cluster and server.
    private async Task<string> FillAsync(HostProcess host, CancellationToken cancellation)
    {
        var bundle = await run.Calls.ActivateAsync(host.Address, run.Options.Bundle, cancellation);
        ProgressLines.Say($"loading items into the {host.Name}");
        await run.Calls.LoadAsync(host.Address, new SyntheticItems(run.Options.TextLength), Enumerable.Range(0, Items).Select(number => (long)number), _ => { }, cancellation);
        var random = new Random(1);
        var events = Enumerable.Range(0, RankRequests.Users * EventsOfUser).Select(number => string.Create(
            CultureInfo.InvariantCulture,
            $$"""{"event_id":"{{number}}","type":"click","user":"{{RankRequests.User(number / EventsOfUser)}}","item":"{{SyntheticItems.Id(random.Next(Items))}}","timestamp":1795300000}"""));
        await run.Calls.TellAsync(host.Address, $"[{string.Join(',', events)}]", cancellation);
        return bundle;
    }

    private void Add(string key, string what, double value, string unit) => run.Figures.Add(Part, key, what, value, unit);

    /// <summary>One way to rank: hosts, directly or behind a gateway, asked by callers that each wait for their reply.</summary>
    private sealed class Lane(string key, string name, IReadOnlyList<HostProcess> hosts, HostProcess? gateway)
    {
        public string Key => key;

        public string Name => name;

        public IReadOnlyList<HostProcess> Hosts => hosts;

        public LaneResult Result { get; } = new();

        public async Task RunAsync(TimeSpan time, LaneResult? result, CancellationToken cancellation)
        {
            IPEndPoint[] endpoints = gateway is null ? [.. hosts.Select(host => host.Endpoint)] : [gateway.Endpoint];
            var requests = endpoints.Select(endpoint => RankRequests.Create(endpoint, Candidates, Items)).ToArray();
            var (hostsBefore, gatewayBefore, clock) = (Processor(hosts), gateway?.ProcessorTime(), Stopwatch.StartNew());
            var callers = await Task.WhenAll(Enumerable.Range(0, CallersOfHost * hosts.Count).Select(caller => Task.Factory.StartNew(
                () => Call(endpoints[caller % endpoints.Length], requests[caller % endpoints.Length], caller, clock, time), cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
            var elapsed = clock.Elapsed;
            if (result is not null)
            {
                result.Elapsed += elapsed;
                result.HostProcessor += Processor(hosts) - hostsBefore;
                result.GatewayProcessor += gateway?.ProcessorTime() - gatewayBefore ?? TimeSpan.Zero;
                result.Fallbacks += callers.Sum(caller => caller.Fallbacks);
                foreach (var ticks in callers.SelectMany(caller => caller.Ticks))
                {
                    result.Calls.Add(ticks);
                }
            }
        }

        private static (List<long> Ticks, int Fallbacks) Call(IPEndPoint endpoint, byte[][] requests, int caller, Stopwatch clock, TimeSpan time)
        {
            using var connection = new KeepAliveConnection(endpoint);
            var ticks = new List<long>();
            var fallbacks = 0;
            for (var i = caller * 31; clock.Elapsed < time; i++)
            {
                var start = Stopwatch.GetTimestamp();
                var status = connection.Exchange(requests[i % requests.Length]);
                ticks.Add(Stopwatch.GetTimestamp() - start);
                if (status != 200)
                {
                    throw new InvalidOperationException($"A ranking failed: {status} {System.Text.Encoding.UTF8.GetString(connection.Body[..Math.Min(300, connection.Body.Length)])}");
                }

                // A host that is starved answers by the fallback, which is no ranking of the kind that is counted.
                if (connection.Body.IndexOf("\"mode\":\"model\""u8) < 0)
                {
                    fallbacks++;
                    ticks.RemoveAt(ticks.Count - 1);
                }
            }

            return (ticks, fallbacks);
        }

        private static TimeSpan Processor(IEnumerable<HostProcess> hosts) => hosts.Aggregate(TimeSpan.Zero, (sum, host) => sum + host.ProcessorTime());
    }

    /// <summary>What one way reached in all its turns.</summary>
    private sealed class LaneResult
    {
        public LatencySample Calls { get; } = new(10_000);

        public int Fallbacks { get; set; }

        public TimeSpan Elapsed { get; set; }

        public TimeSpan HostProcessor { get; set; }

        public TimeSpan GatewayProcessor { get; set; }

        public double Rate => Calls.Count / Elapsed.TotalSeconds;
    }
}
