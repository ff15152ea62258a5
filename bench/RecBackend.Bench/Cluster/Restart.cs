using System.Diagnostics;
using System.Globalization;
using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Cluster;

/// <summary>How long a cluster needs to be back with its items, and what a silo of each role holds of them.</summary>
internal sealed class Restart(ClusterRun run, LocalSilos silos)
{
    public const string Part = "restart";

    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(3);

    // Contents that were read last stay in memory up to a bound; without that, what is left grows with the items.
    private static readonly string[] LeastCache = ["--RecBackend:Cluster:ContentCacheMiB", "1"];

    // One heap, collected as one goes along: what is held, and not what a machine with much memory lets lie.
    private static readonly Dictionary<string, string> Sparing = new() { ["DOTNET_gcServer"] = "0", ["DOTNET_GCConserveMemory"] = "9" };

    /// <summary>Measures.</summary>
    public async Task MeasureAsync(CancellationToken cancellation)
    {
        var count = silos.Running.Count;
        ProgressLines.Say("restart of all silos");
        await silos.StopAsync();
        var clock = Stopwatch.StartNew();
        for (var silo = 1; silo <= count; silo++)
        {
            silos.Start(string.Create(CultureInfo.InvariantCulture, $"silo-{silo}"));
        }

        await Task.WhenAll(silos.Running.Select(silo => silo.UntilReadyAsync(cancellation)));
        Add("ready_seconds", $"from the start of {count} silos until all are ready with all items", clock.Elapsed.TotalSeconds, "s");
        var catalogs = await run.Calls.SilosAsync(silos.Running[0].Address, cancellation);
        Add("items_in_catalogs", "items in the smallest of their catalogues", catalogs.Min(silo => (long)silo!["items"]!), "");
        Add("catalog_bytes_per_item", "catalog_bytes of a silo for each item", catalogs.Average(silo => (double)(long)silo!["catalog_bytes"]! / (long)silo["items"]!), "B");

        ProgressLines.Say("an entity silo alone");
        await silos.StopAsync();
        var entity = await silos.StartAsync("entity", ["entity"], cancellation, LeastCache, Sparing);
        var empty = entity.ResidentBytes();
        clock.Restart();
        var stored = await run.Calls.StoredItemsAsync(entity.Address, cancellation);
        Add("shards_seconds", "until an entity silo alone has read all shards", clock.Elapsed.TotalSeconds, "s");
        await Task.Delay(Settling, cancellation);
        Add("entity_empty_mib", "its working set before", empty / 1048576.0, "MiB");
        Add("entity_bytes_per_item", "what it grew by for each item, with 1 MiB for contents", (double)(entity.ResidentBytes() - empty) / stored, "B");

        ProgressLines.Say("a silo of each role");
        await silos.StopAsync();
        await silos.StartAsync("entity", ["entity"], cancellation);
        clock.Restart();
        var scoring = await silos.StartAsync("scoring", ["scoring"], cancellation, environment: Sparing);
        await scoring.UntilReadyAsync(cancellation);
        Add("scoring_ready_seconds", "from the start of one scoring silo beside one entity silo that was just started until it is ready", clock.Elapsed.TotalSeconds, "s");
        await Task.Delay(Settling, cancellation);
        var catalog = (await run.Calls.SilosAsync(scoring.Address, cancellation)).Max(silo => (long)silo!["catalog_bytes"]!);
        Add("scoring_mib", "working set of the scoring silo", scoring.ResidentBytes() / 1048576.0, "MiB");
        Add("scoring_catalog_mib", "its catalog_bytes", catalog / 1048576.0, "MiB");
    }

    private void Add(string key, string what, double value, string unit) => run.Figures.Add(Part, key, what, value, unit);
}
