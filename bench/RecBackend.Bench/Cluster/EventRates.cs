using System.Diagnostics;
using System.Globalization;
using System.Net;
using RecBackend.Bench.Ingest;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;
using RecBackend.Core.Users;

namespace RecBackend.Bench.Cluster;

/// <summary>Durable events against what the same Azurite takes of bare blob writes before and after them.</summary>
internal sealed class EventRates(ClusterRun run, LocalSilos silos, HostProcess gateway)
{
    public const string Part = "events";

    private const string RawContainer = "raw";
    private const int RawWriters = 32;
    private const int RawBlobsOfWriter = 100;
    private const int RawBytes = 1_024;
    private const int Callers = 64;
    private const int WarmUsers = 1_000;
    private const int BatchWriters = 4;
    private const int BatchUsers = 100;
    private const int BatchEvents = 1_000;
    private const string UserBlobs = "user-";

    private const int Rounds = 3;
    private const string Segments = "items-itemlog/";

    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(1);

    // From one load to the next: the counts of the items' clicks, which are gathered for a second, are then stored too.
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(1.5);

    private readonly TimeSpan _turn = run.Options.Time / Rounds;

    /// <summary>Measures: raw writes and every kind of events take turns, since what an Azurite takes wanders with what else its machine does.</summary>
    public async Task MeasureAsync(CancellationToken cancellation)
    {
        await run.Blobs.CreateContainerAsync(RawContainer, cancellation);
        var hosts = silos.Running.Select(silo => silo.Endpoint).ToArray();
        var (raw, fresh, warm, behind, batches, counts) = (new Turns(), new Turns(), new Turns(), new Turns(), new Turns(), 0L);
        var bytesOfFresh = 0.0;
        var (forRaw, forEvents, ofSilos) = (TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero);
        await SingleAsync("first", hosts, (writer, number) => string.Create(CultureInfo.InvariantCulture, $"first-{writer}-{number}"), cancellation);
        await TellAllAsync(cancellation);
        await BatchesAsync("first-batch", cancellation);
        for (var round = 0; round < Rounds; round++)
        {
            ProgressLines.Say($"events, round {round + 1} of {Rounds}");
            var azurite = Azurite();
            raw.Add(await RawAsync(cancellation));
            forRaw += Azurite() - azurite;
            fresh.Add(await SingleAsync($"fresh-{round}", hosts, (writer, number) => string.Create(CultureInfo.InvariantCulture, $"fresh-{round}-{writer}-{number}"), cancellation));
            if (round == 0)
            {
                var (users, bytes) = await run.Blobs.MeasureAsync(silos.Container, UserBlobs + "user/fresh-", cancellation);
                bytesOfFresh = (double)bytes / users;
            }

            raw.Add(await RawAsync(cancellation));
            var segments = (await run.Blobs.MeasureAsync(silos.Container, Segments, cancellation)).Count;
            (azurite, var silo) = (Azurite(), Silos());
            warm.Add(await SingleAsync($"warm-{round}", hosts, WarmUser, cancellation));
            (forEvents, ofSilos) = (forEvents + Azurite() - azurite, ofSilos + Silos() - silo);
            counts += (await run.Blobs.MeasureAsync(silos.Container, Segments, cancellation)).Count - segments;
            behind.Add(await SingleAsync($"behind-{round}", [gateway.Endpoint], WarmUser, cancellation));
            raw.Add(await RawAsync(cancellation));
            batches.Add(await BatchesAsync($"batch-{round}", cancellation));
        }

        var turns = (WarmUp + _turn) * Rounds;
        Add("raw_per_second", $"raw blob writes of 1 KiB a second, {RawWriters} writers", raw.Rate, "");
        Add("raw_least_per_second", "in the slowest of their turns", raw.Least, "");
        Add("raw_most_per_second", "in the fastest", raw.Most, "");
        Add("raw_p50_ms", "a raw write, p50", raw.Percentile(0.5), "ms");
        Add("raw_p99_ms", "a raw write, p99", raw.Percentile(0.99), "ms");
        AddRate("fresh", $"single events a second, {Callers} callers at the silos, each event of a new user", fresh, raw);
        AddRate("warm", $"single events a second, of {Callers * (WarmUsers / Callers):N0} users in memory", warm, raw);
        Add("raw_azurite_cores", "cores that Azurite used for raw writes", forRaw / turns, "");
        Add("warm_azurite_cores", "and for these events", forEvents / turns, "");
        Add("warm_silo_cores", "cores that the silos used for them", ofSilos / turns, "");
        Add("segments_per_second", "writes of item segments a second beside them, for the counts", counts / turns.TotalSeconds, "");
        AddRate("gateway", "the same events through the gateway", behind, raw);
        AddRate("batch", $"events a second in batches of {BatchEvents:N0} across {BatchUsers} users in memory, {BatchWriters} writers, through the gateway", batches, raw);
        Add("user_bytes", "bytes in blobs of a user with one event", bytesOfFresh, "B");
        await AddBytesOfUserAsync(cancellation);
    }

    private TimeSpan Azurite() => HostProcess.ProcessorTime(run.Stores.Azurite.Id);

    private TimeSpan Silos() => silos.Running.Aggregate(TimeSpan.Zero, (sum, silo) => sum + silo.ProcessorTime());

    private async Task<EventRate> RawAsync(CancellationToken cancellation)
    {
        await Task.Delay(Rest, cancellation);
        var content = new byte[RawBytes];
        new Random(1).NextBytes(content);
        var clock = Stopwatch.StartNew();
        var all = await Task.WhenAll(Enumerable.Range(0, RawWriters).Select(writer => Task.Run(
            async () =>
            {
                var ticks = new List<long>();
                for (var number = 0; ; number++)
                {
                    var start = Stopwatch.GetTimestamp();
                    await run.Blobs.PutAsync(RawContainer, string.Create(CultureInfo.InvariantCulture, $"{writer}/{number % RawBlobsOfWriter}"), content, cancellation);
                    if (clock.Elapsed >= WarmUp + _turn)
                    {
                        return ticks;
                    }

                    if (clock.Elapsed >= WarmUp)
                    {
                        ticks.Add(Stopwatch.GetTimestamp() - start);
                    }
                }
            },
            cancellation)));
        var calls = new LatencySample(all.Sum(x => x.Count));
        foreach (var ticks in all.SelectMany(x => x))
        {
            calls.Add(ticks);
        }

        return new(calls.Count / _turn.TotalSeconds, calls);
    }

    private async Task<EventRate> SingleAsync(string name, IPEndPoint[] hosts, Func<int, long, string> user, CancellationToken cancellation)
    {
        await Task.Delay(Rest, cancellation);
        return await new EventLoad(Callers, 1, WarmUp, _turn).RunAsync(
            writer => new HttpSink(hosts[writer % hosts.Length]), writer => new Stream(name, writer, run.KnownItems, number => user(writer, number)).Next, cancellation);
    }

    private async Task<EventRate> BatchesAsync(string name, CancellationToken cancellation)
    {
        await Task.Delay(Rest, cancellation);

        // In the order in which they came, not by user: as a collector of events sends them.
        return await new EventLoad(BatchWriters, BatchEvents, WarmUp, _turn).RunAsync(
            _ => new HttpSink(gateway.Endpoint),
            writer =>
            {
                var random = new Random(writer);
                return new Stream(name, writer, run.KnownItems, _ => string.Create(CultureInfo.InvariantCulture, $"batch-{writer}-{random.Next(BatchUsers)}")).Next;
            },
            cancellation);
    }

    // No two callers of one user: a user's writes wait for each other.
    private static string WarmUser(int writer, long number) =>
        string.Create(CultureInfo.InvariantCulture, $"warm-{(number % (WarmUsers / Callers) * Callers) + writer}");

    // A few at a time: silos that were just started compile their code with the first calls.
    private async Task TellAllAsync(CancellationToken cancellation)
    {
        var events = Enumerable.Range(0, Callers).SelectMany(writer => Enumerable.Range(0, WarmUsers / Callers).Select(number => string.Create(
            CultureInfo.InvariantCulture, $$"""{"event_id":"first-{{writer}}-{{number}}","type":"click","user":"{{WarmUser(writer, number)}}","item":"{{SyntheticItems.Id(number)}}"}""")));
        foreach (var some in events.Chunk(Callers))
        {
            await run.Calls.TellAsync(silos.Running[0].Address, $"[{string.Join(',', some)}]", cancellation);
        }
    }

    private async Task AddBytesOfUserAsync(CancellationToken cancellation)
    {
        var (count, bytes) = await run.Blobs.MeasureAsync(silos.Container, UserBlobs + "user/warm-", cancellation);
        var user = await run.Calls.UserAsync(silos.Running[0].Address, WarmUser(0, 0), cancellation);
        Add("warm_user_events", "events of a user in memory after all that, of one of them", (long)user["impressions"]! + (long)user["clicks"]!, "");
        Add("warm_user_bytes", "bytes in blobs of such a user (mean)", (double)bytes / count, "B");
    }

    private void AddRate(string key, string what, Turns turns, Turns raw)
    {
        Add($"{key}_per_second", what, turns.Rate, "");
        Add($"{key}_to_raw", "÷ raw writes", turns.Rate / raw.Rate, "");
        Add($"{key}_p50_ms", "a call, p50", turns.Percentile(0.5), "ms");
        Add($"{key}_p99_ms", "a call, p99", turns.Percentile(0.99), "ms");
    }

    private void Add(string key, string what, double value, string unit) => run.Figures.Add(Part, key, what, value, unit);

    /// <summary>Endless events with IDs of their own about random items; every third is a click.</summary>
    internal sealed class Stream(string name, int writer, int items, Func<long, string> user)
    {
        private readonly Random _random = new(writer);
        private long _count;

        public InteractionEvent Next()
        {
            var number = _count++;
            return new InteractionEvent(
                string.Create(CultureInfo.InvariantCulture, $"{name}-{writer}-{number}"),
                number % 3 == 0 ? InteractionEvent.Click : InteractionEvent.Impression,
                user(number),
                SyntheticItems.Id(_random.Next(items)),
                DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(),
                RequestId: null);
        }
    }

    /// <summary>One kind of writes in all its turns.</summary>
    private sealed class Turns
    {
        private readonly List<EventRate> _turns = [];

        public double Rate => _turns.Average(turn => turn.Rate);

        public double Least => _turns.Min(turn => turn.Rate);

        public double Most => _turns.Max(turn => turn.Rate);

        public void Add(EventRate turn) => _turns.Add(turn);

        /// <summary>Milliseconds of a call.</summary>
        public double Percentile(double share)
        {
            var all = new LatencySample(_turns.Sum(turn => turn.Calls.Count));
            foreach (var turn in _turns)
            {
                all.Add(turn.Calls);
            }

            return all.Percentile(share) / 1000;
        }
    }
}
