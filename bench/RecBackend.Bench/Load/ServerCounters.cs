using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace RecBackend.Bench.Load;

/// <summary>What a server, or several together, say of themselves on <c>/metrics</c>: the counters of .NET's runtime and its rankings. Any operator can read the same.</summary>
internal sealed class ServerCounters
{
    private readonly Dictionary<string, double> _series;
    private readonly long _at;

    private ServerCounters(Dictionary<string, double> series, long at) => (_series, _at) = (series, at);

    /// <summary>Reads them, of all of <paramref name="addresses"/>.</summary>
    /// <exception cref="HttpRequestException">One does not answer, or not with its metrics.</exception>
    public static async Task<ServerCounters> ReadAsync(HttpClient client, Uri[] addresses)
    {
        var texts = await Task.WhenAll(addresses.Select(address => client.GetStringAsync(new Uri(address, "/metrics"))));
        return Parse(string.Concat(texts), Stopwatch.GetTimestamp());
    }

    /// <summary>Reads Prometheus' text format. A series that is there several times, of as many hosts, is added up.</summary>
    /// <param name="text">The lines.</param>
    /// <param name="at">When they were read, in ticks of <see cref="Stopwatch"/>.</param>
    public static ServerCounters Parse(string text, long at)
    {
        var series = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var end = line.LastIndexOf(' ');
            if (line[0] != '#' && end > 0)
            {
                CollectionsMarshal.GetValueRefOrAddDefault(series, line[..end], out _) += double.Parse(line.AsSpan(end + 1), NumberStyles.Float, CultureInfo.InvariantCulture);
            }
        }

        return new ServerCounters(series, at);
    }

    /// <summary>What the server used since <paramref name="before"/>.</summary>
    public ServerUse Since(ServerCounters before)
    {
        var seconds = (_at - before._at) / (double)Stopwatch.Frequency;
        var rankings = Grown("recbackend_requests_total", "route=\"/v1/rank\"");
        var processor = Grown("dotnet_process_cpu_time_seconds_total");
        var pause = Grown("dotnet_gc_pause_time_seconds_total");
        return new ServerUse
        {
            Seconds = seconds,
            Requests = (long)rankings,
            Cores = processor / seconds,
            ProcessorMicrosecondsPerRequest = rankings > 0 ? processor * 1e6 / rankings : null,
            // .NET's counter falls when its heap is divided anew; then it tells nothing.
            AllocatedBytesPerRequest = rankings > 0 && Grown("dotnet_gc_heap_total_allocated_bytes_total") is > 0 and var bytes ? bytes / rankings : null,
            Gen0 = (int)Grown("dotnet_gc_collections_total", "\"gen0\""),
            Gen1 = (int)Grown("dotnet_gc_collections_total", "\"gen1\""),
            Gen2 = (int)Grown("dotnet_gc_collections_total", "\"gen2\""),
            PauseMilliseconds = pause * 1e3,
            WorkingSetBytesBefore = (long)before.Sum("dotnet_process_memory_working_set_bytes"),
            WorkingSetBytes = (long)Sum("dotnet_process_memory_working_set_bytes"),
        };

        double Grown(string name, string label = "") => Sum(name, label) - before.Sum(name, label);
    }

    // A counter that nothing has counted yet is not written: its sum is 0.
    private double Sum(string name, string label = "") => _series
        .Where(x => x.Key.StartsWith(name, StringComparison.Ordinal) && (x.Key.Length == name.Length || x.Key[name.Length] == '{') && x.Key.Contains(label, StringComparison.Ordinal))
        .Sum(x => x.Value);
}

/// <summary>What the server process used while the measured arrivals came.</summary>
internal sealed record ServerUse
{
    /// <summary>Time between the two readings.</summary>
    public required double Seconds { get; init; }

    /// <summary>Calls of <c>/v1/rank</c> that it answered, refused ones included.</summary>
    public required long Requests { get; init; }

    /// <summary>Processors it kept busy, on average.</summary>
    public required double Cores { get; init; }

    /// <summary>Processor time of the process over those calls.</summary>
    public required double? ProcessorMicrosecondsPerRequest { get; init; }

    /// <summary>Managed memory allocated, over those calls.</summary>
    public required double? AllocatedBytesPerRequest { get; init; }

    /// <summary>Collections that went no further than generation 0.</summary>
    public required int Gen0 { get; init; }

    /// <summary>Collections of generation 1.</summary>
    public required int Gen1 { get; init; }

    /// <summary>Collections of generation 2.</summary>
    public required int Gen2 { get; init; }

    /// <summary>Time that collections held all threads, in all.</summary>
    public required double PauseMilliseconds { get; init; }

    /// <summary>Memory of the process at the first reading.</summary>
    public required long WorkingSetBytesBefore { get; init; }

    /// <summary>Memory of the process at the last reading.</summary>
    public required long WorkingSetBytes { get; init; }
}
