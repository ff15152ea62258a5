using System.Globalization;
using System.Text.Json;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Ingest;

/// <summary>How many events a second become durable, and how long a writer waits for each call.</summary>
internal sealed class IngestBenchmark(TimeSpan time, string stateFolder, string bundle, string dataFolder)
{
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(2);

    public async Task<int> RunAsync(bool json, CancellationToken cancellation)
    {
        var data = DataSet.Read(dataFolder);
        using var folder = new ScratchFolder(stateFolder);
        var results = new List<Result>();
        var flush = DiskFlush.Measure(folder.Path);
        var prepared = await PreparedState.CreateAsync(Path.Combine(folder.Path, "prepared"), bundle, data, cancellation);
        await using (var engine = await BenchEngine.OpenAsync(prepared.CopyTo(Path.Combine(folder.Path, "in-process")), cancellation))
        {
            RunFacts.Print(Console.Out, engine.Layout.Version);
            results.Add(await MeasureAsync("in process, 8 writers, batches of 100", 8, 100, _ => new EngineSink(engine.Users), data, cancellation));
            results.Add(await MeasureAsync("in process, 64 callers, single events", 64, 1, _ => new EngineSink(engine.Users), data, cancellation));
        }

        await using (var server = await Stack.StartServerAsync(prepared.CopyTo(Path.Combine(folder.Path, "server")), cancellation))
        {
            results.Add(await MeasureAsync("over HTTP, 8 writers, batches of 100", 8, 100, _ => new HttpSink(server.Endpoint), data, cancellation));
            results.Add(await MeasureAsync("over HTTP, 64 callers, single events", 64, 1, _ => new HttpSink(server.Endpoint), data, cancellation));
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"disk     4 KiB appended and flushed: p50 {flush.Percentile(0.5):F0} µs, p99 {flush.Percentile(0.99):F0} µs"));
        Console.WriteLine();
        Console.WriteLine("| events | events/s | call p50 ms | call p99 ms |");
        Console.WriteLine("|---|---:|---:|---:|");
        foreach (var result in results)
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {result.What} | {result.Rate:N0} | {result.Calls.Percentile(0.5) / 1000:F2} | {result.Calls.Percentile(0.99) / 1000:F2} |"));
        }

        if (json)
        {
            Console.WriteLine(ToJson(results));
        }

        return 0;
    }

    private static string ToJson(IEnumerable<Result> results)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartArray();
            foreach (var result in results)
            {
                json.WriteStartObject();
                json.WriteString("what", result.What);
                json.WriteNumber("events_per_second", Math.Round(result.Rate));
                json.WriteNumber("call_p50_us", Math.Round(result.Calls.Percentile(0.5)));
                json.WriteNumber("call_p99_us", Math.Round(result.Calls.Percentile(0.99)));
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private async Task<Result> MeasureAsync(string what, int writers, int batch, Func<int, IEventSink> open, DataSet data, CancellationToken cancellation)
    {
        ProgressLines.Say(string.Create(CultureInfo.InvariantCulture, $"{what}: {WarmUp.TotalSeconds:F0} s to warm up, {time.TotalSeconds:F0} s measured"));
        var rate = await new EventLoad(writers, batch, WarmUp, time).RunAsync(open, writer => new EventStream(data.Items, $"{batch}-{writer}", writer).Next, cancellation);
        return new Result(what, rate.Rate, rate.Calls);
    }

    private sealed record Result(string What, double Rate, LatencySample Calls);
}
