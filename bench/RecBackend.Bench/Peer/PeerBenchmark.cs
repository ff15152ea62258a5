using System.Diagnostics;
using System.Globalization;
using System.Net;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Load;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;
using RecBackend.Bench.Rank;
using RecBackend.Cli;

namespace RecBackend.Bench.Peer;

/// <summary>Server and peer on one machine, asked the same by the same generator in turns: whichever is not asked does nothing meanwhile.</summary>
internal sealed class PeerBenchmark(PeerOptions options)
{
    private const int Compared = 20;

    // The first search begins where either may be; later ones where the first ended.
    private const double FirstRate = 400;
    private const double Precision = 1.08;
    private const double StepAgain = 1.2;

    // Answers in a row within so long, each a few times that of an idle server: nothing waits any more.
    private const int QuickAnswers = 20;
    private static readonly TimeSpan Quick = TimeSpan.FromMilliseconds(30);
    private static readonly TimeSpan SettleLimit = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    public async Task<int> RunAsync(bool json, CancellationToken cancellation)
    {
        var programs = PeerPrograms.Find();
        var data = DataSet.Read(options.Data).WithAtLeast(options.Candidates);
        using var folder = new ScratchFolder(Path.GetTempPath());
        var prepared = await PreparedState.CreateAsync(Path.Combine(folder.Path, "prepared"), options.Bundle, data, cancellation);
        var records = Path.Combine(folder.Path, "records");
        await using (var engine = await BenchEngine.OpenAsync(prepared.CopyTo(Path.Combine(folder.Path, "in-process")), cancellation))
        {
            await PeerRecords.WriteAsync(records, engine, data, cancellation);
        }

        await using var server = await Stack.StartServerAsync(prepared.CopyTo(Path.Combine(folder.Path, "server")), cancellation);
        await using var peer = await PeerStack.StartAsync(programs, options.Bundle, records, options.Workers, options.Tcp, folder.Path, cancellation);
        RunFacts.Print(Console.Out, null);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"load     {options.Candidates} candidates of {data.Items.Count:N0} items, all in the reply, Poisson arrivals over HTTP/1.1, at most {options.InFlight:N0} in flight; held: {LoadBenchmark.HeldPart:P0} answered with a p99 of at most {options.HeldP99.TotalMilliseconds:F0} ms"));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"peer     {options.Workers} workers, Redis over {(options.Tcp ? "TCP" : "a Unix socket")}"));

        var largest = await CompareAsync(server.Address, peer.Address, new RankWorkload(data, options.Candidates, Compared, 0, options.Seed), cancellation);
        var bodies = GenerateCommand.Bodies(data, options.Candidates, 0, options.Seed);
        foreach (var address in new[] { peer.Address, server.Address })
        {
            await GeneratorProcess.AskEachOnceAsync(address, HttpVersion.Version11, bodies, null, cancellation);
        }

        // The peer's workers share the connections: only many of them reach all.
        foreach (var name in new[] { PeerReport.Peer, PeerReport.Server })
        {
            await MeasureAsync(name, FirstRate / 2, options.Probe);
        }

        var rounds = new List<(double Peer, double Server)>();
        for (var round = 0; round < options.Rounds; round++)
        {
            double? before = round == 0 ? null : rounds[^1].Peer;
            var peers = await SaturationAsync(PeerReport.Peer, before);
            before = round == 0 ? null : rounds[^1].Server;
            rounds.Add((peers, await SaturationAsync(PeerReport.Server, before)));
        }

        var rows = new List<PeerRow>();
        var (peerSaturation, serverSaturation) = (rounds.Average(x => x.Peer), rounds.Average(x => x.Server));
        foreach (var rate in options.Shares.Append(1).Order().Select(share => share * peerSaturation))
        {
            rows.Add(await MeasureAsync(PeerReport.Peer, rate, options.Measured));
            rows.Add(await MeasureAsync(PeerReport.Server, rate, options.Measured));
        }

        foreach (var share in options.Shares.Append(1).Order())
        {
            rows.Add(await MeasureAsync(PeerReport.Server, share * serverSaturation, options.Measured));
        }

        var report = new PeerReport(rounds, rows, largest);
        report.Print(Console.Out);
        if (json)
        {
            Console.WriteLine(report.ToJson());
        }

        return 0;

        Task<double> SaturationAsync(string name, double? before) => new SaturationSearch(before ?? FirstRate, Precision, before is null ? 2 : StepAgain, options.Attempts)
            .FindAsync(async rate => LoadBenchmark.Held((await MeasureAsync(name, rate, options.Probe)).Point, options.HeldP99));

        async Task<PeerRow> MeasureAsync(string name, double rate, TimeSpan measured)
        {
            var plan = new LoadPlan
            {
                Target = name == PeerReport.Peer ? peer.Address : server.Address,
                Servers = [name == PeerReport.Peer ? peer.Address : server.Address],
                Http = HttpVersion.Version11,
                Rate = rate,
                WarmUp = options.WarmUp,
                Measured = measured,
                InFlight = options.InFlight,
                Patience = Patience,
                Deadline = null,
                Candidates = options.Candidates,
                Limit = 0,
                Seed = options.Seed,
                Data = options.Data,
            };
            await SettleAsync(plan.Target, bodies[0], cancellation);
            Func<TimeSpan> used = name == PeerReport.Peer ? peer.ProcessorTime : server.ProcessorTime;
            var before = used();
            var point = await GeneratorProcess.MeasureAsync(plan, folder.Path, cancellation);
            var processor = (used() - before).TotalMicroseconds / (point.Callers.Offered * (plan.WarmUp + measured).TotalSeconds);
            ProgressLines.Say($"{name}: {LoadReport.Line(point)}");
            return new PeerRow(name, point, processor);
        }
    }

    /// <summary>Waits until what a rate that was too high has left in queues is done: no rate pays for the one before it. The peer refuses nothing, and works on after its callers have gone.</summary>
    private static async Task SettleAsync(Uri address, ReadOnlyMemory<byte> body, CancellationToken cancellation)
    {
        using var client = new HttpClient { Timeout = SettleLimit };
        for (var (clock, quick) = (Stopwatch.StartNew(), 0); quick < QuickAnswers;)
        {
            if (clock.Elapsed > SettleLimit)
            {
                throw new CommandException($"{address} has not come to rest within {SettleLimit.TotalSeconds} s");
            }

            using var content = new ReadOnlyMemoryContent(body) { Headers = { ContentType = new("application/json") } };
            var begin = clock.Elapsed;
            using var response = await client.PostAsync(new Uri(address, "/v1/rank"), content, cancellation);
            quick = clock.Elapsed - begin < Quick ? quick + 1 : 0;
        }
    }

    /// <returns>The largest difference of two scores.</returns>
    /// <exception cref="CommandException">The two do not do the same work.</exception>
    private static async Task<double> CompareAsync(Uri server, Uri peer, RankWorkload workload, CancellationToken cancellation)
    {
        using var client = new HttpClient();
        var largest = 0.0;
        for (var i = 0; i < workload.Count; i++)
        {
            var (ours, peers) = (await AskAsync(server, workload.Json(i)), await AskAsync(peer, workload.Json(i)));
            largest = Math.Max(largest, Agreement.Check(ours, peers));
        }

        return largest;

        async Task<byte[]> AskAsync(Uri address, byte[] body)
        {
            using var content = new ByteArrayContent(body) { Headers = { ContentType = new("application/json") } };
            using var response = await client.PostAsync(new Uri(address, "/v1/rank"), content, cancellation);
            var reply = await response.Content.ReadAsByteArrayAsync(cancellation);
            return response.IsSuccessStatusCode ? reply : throw new CommandException($"{address} answered {(int)response.StatusCode}: {System.Text.Encoding.UTF8.GetString(reply)}");
        }
    }
}
