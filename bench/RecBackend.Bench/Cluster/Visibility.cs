using System.Diagnostics;
using System.Globalization;
using System.Text;
using RecBackend.Bench.Ingest;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Cluster;

/// <summary>
/// How long after it was sent to one silo an item is ranked by the others: they are asked every millisecond, from the moment of sending, until they no longer say that it is unknown.
/// </summary>
internal sealed class Visibility(ClusterRun run, LocalSilos silos, HostProcess gateway)
{
    public const string Part = "visibility";

    private const int Updates = 200;
    private const int LoadWriters = 4;
    private const int LoadRankers = 2;
    private const int LoadCandidates = 500;

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);

    /// <summary>Measures.</summary>
    public async Task MeasureAsync(CancellationToken cancellation)
    {
        await MeasureAsync("idle", "nothing else under way", cancellation);

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var load = LoadAsync(stop.Token);
        await Task.Delay(TimeSpan.FromSeconds(1), cancellation);
        await MeasureAsync("load", $"beside {LoadWriters} callers of events and {LoadRankers} of rankings without a pause", cancellation);
        await stop.CancelAsync();
        await load.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    private async Task MeasureAsync(string key, string what, CancellationToken cancellation)
    {
        ProgressLines.Say($"visibility, {what}");
        var (acknowledged, visible) = (new LatencySample(Updates), new LatencySample(Updates));
        var others = silos.Running.Skip(1).ToArray();
        using var writer = new KeepAliveConnection(silos.Running[0].Endpoint);
        var readers = others.Select(silo => new KeepAliveConnection(silo.Endpoint)).ToArray();
        try
        {
            for (var number = 0; number < Updates; number++)
            {
                cancellation.ThrowIfCancellationRequested();
                var id = string.Create(CultureInfo.InvariantCulture, $"seen-{key}-{number}");
                var item = Encoding.UTF8.GetBytes($$"""{"id":"{{id}}","title":"new item","text":"an item that nobody has seen"}""");
                var start = Stopwatch.GetTimestamp();
                var seen = others.Select((silo, place) => Task.Factory.StartNew(
                    () => UntilKnown(readers[place], silo, id, start), cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default)).ToArray();
                if (writer.Exchange(KeepAliveConnection.Post(silos.Running[0].Endpoint, "/v1/items/batch", item, "application/x-ndjson")) != 200)
                {
                    throw new InvalidOperationException($"An item cannot be stored: {Encoding.UTF8.GetString(writer.Body)}");
                }

                acknowledged.Add(Stopwatch.GetTimestamp() - start);
                visible.Add((await Task.WhenAll(seen)).Max());
                await Task.Delay(Pause, cancellation);
            }
        }
        finally
        {
            Array.ForEach(readers, reader => reader.Dispose());
        }

        Add($"{key}_p50_ms", $"from sending to ranked at both other silos, {what}, p50", visible.Percentile(0.5) / 1000, "ms");
        Add($"{key}_p99_ms", "the same, p99", visible.Percentile(0.99) / 1000, "ms");
        Add($"{key}_acknowledged_p50_ms", "from sending to the 2xx, p50", acknowledged.Percentile(0.5) / 1000, "ms");
        Add($"{key}_acknowledged_p99_ms", "the same, p99", acknowledged.Percentile(0.99) / 1000, "ms");
    }

    private static long UntilKnown(KeepAliveConnection connection, HostProcess silo, string id, long start)
    {
        var request = KeepAliveConnection.Post(silo.Endpoint, "/v1/rank", Encoding.UTF8.GetBytes($$"""{"user":"nobody","items":["{{id}}"]}"""));
        while (Stopwatch.GetElapsedTime(start) < Limit)
        {
            if (connection.Exchange(request) == 200 && connection.Body.IndexOf("\"unknown\":[]"u8) >= 0)
            {
                return Stopwatch.GetTimestamp() - start;
            }

            Thread.Sleep(1);
        }

        throw new InvalidOperationException($"The item {id} is not known at {silo.Name} after {Limit.TotalSeconds} s.");
    }

    private Task LoadAsync(CancellationToken stop)
    {
        var requests = RankRequests.Create(gateway.Endpoint, LoadCandidates, run.KnownItems);
        var rankers = Enumerable.Range(0, LoadRankers).Select(ranker => Task.Factory.StartNew(
            () =>
            {
                using var connection = new KeepAliveConnection(gateway.Endpoint);
                for (var i = ranker; !stop.IsCancellationRequested; i++)
                {
                    connection.Exchange(requests[i % requests.Length]);
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default));
        var writers = Enumerable.Range(0, LoadWriters).Select(writer => Task.Run(
            async () =>
            {
                using var sink = new HttpSink(gateway.Endpoint);
                var events = new EventRates.Stream("beside", writer, run.KnownItems, number => string.Create(CultureInfo.InvariantCulture, $"beside-{writer}-{number % 100}"));
                while (!stop.IsCancellationRequested)
                {
                    await sink.SendAsync([events.Next()]);
                }
            },
            CancellationToken.None));
        return Task.WhenAll(rankers.Concat(writers));
    }

    private void Add(string key, string what, double value, string unit) => run.Figures.Add(Part, key, what, value, unit);
}
