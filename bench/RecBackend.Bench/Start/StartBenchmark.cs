using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Start;

/// <summary>How long a server with many items takes from its start until it answers rankings by its model.</summary>
internal sealed class StartBenchmark(int items, int starts, string stateFolder, string bundle)
{
    public async Task<int> RunAsync(bool json, CancellationToken cancellation)
    {
        using var folder = new ScratchFolder(stateFolder);
        var state = Path.Combine(folder.Path, "state");
        await using (var engine = await BenchEngine.OpenAsync(state, cancellation))
        {
            await engine.ActivateAsync(bundle, cancellation);
            RunFacts.Print(Console.Out, engine.Layout.Version);
            await engine.FillAsync(items, cancellation);
        }

        var bytes = new DirectoryInfo(state).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"state    {items:N0} items, {bytes / 1048576.0:N0} MiB on disk"));
        Console.WriteLine();
        Console.WriteLine("| start | ready after s | processor s | resident MiB |");
        Console.WriteLine("|---:|---:|---:|---:|");
        var results = new List<Result>();
        for (var start = 1; start <= starts; start++)
        {
            var clock = Stopwatch.StartNew();
            await using var server = await Stack.StartServerAsync(state, cancellation);
            results.Add(new Result(clock.Elapsed.TotalSeconds, server.ProcessorTime().TotalSeconds, server.ResidentBytes() / 1048576.0));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {start} | {results[^1].Ready:F2} | {results[^1].Processor:F2} | {results[^1].Resident:N0} |"));
        }

        if (json)
        {
            Console.WriteLine(JsonSerializer.Serialize(new
            {
                items,
                disk_bytes = bytes,
                starts = results.Select(result => new { ready_s = Math.Round(result.Ready, 3), processor_s = Math.Round(result.Processor, 3), resident_mib = Math.Round(result.Resident) }),
            }));
        }

        return 0;
    }

    private sealed record Result(double Ready, double Processor, double Resident);
}
