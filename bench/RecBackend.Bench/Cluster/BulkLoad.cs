using System.Buffers;
using System.Diagnostics;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Cluster;

/// <summary>Many items through the gateway: how fast they become durable, and what silos and blobs hold of them.</summary>
internal sealed class BulkLoad(ClusterRun run, LocalSilos silos, HostProcess gateway)
{
    public const string Part = "load";

    private const string ItemBlobs = "items-";

    private static readonly TimeSpan VisibleLimit = TimeSpan.FromMinutes(1);

    private readonly SyntheticItems _items = new(run.Options.TextLength);

    /// <summary>Loads and measures.</summary>
    public async Task MeasureAsync(CancellationToken cancellation)
    {
        var count = run.Options.Items;
        var before = Resident();
        var clock = Stopwatch.StartNew();
        await FillAsync(count / 2, cancellation);
        var half = Resident();
        await FillAsync(count, cancellation, count / 2);
        var took = clock.Elapsed.TotalSeconds;
        var after = Resident();
        Add("items_per_second", "items a second, durable and encoded", count / took, "");
        Add("resident_before_mib", "working set of a silo before (mean)", Mebi(before), "MiB");
        Add("resident_half_mib", "at half of the items", Mebi(half), "MiB");
        Add("resident_after_mib", "after all", Mebi(after), "MiB");
        Add("resident_peak_mib", "the most that one of them held", silos.Running.Max(silo => silo.PeakResidentBytes()) / 1048576.0, "MiB");

        await UntilVisibleAsync(count, cancellation);
        Add("visible_seconds", "until all are in all catalogues, from the start", clock.Elapsed.TotalSeconds, "s");

        // Segments are written once each, so that their number is that of writes; only a merge's manifest is written again.
        var (blobs, bytes) = await run.Blobs.MeasureAsync(silos.Container, ItemBlobs, cancellation);
        Add("blobs", "blobs of items", blobs, "");
        Add("items_per_blob", "items in a blob write", (double)count / blobs, "");
        Add("blob_bytes_per_item", "bytes in blobs for each item, with merged segments that wait to be deleted", (double)bytes / count, "B");
        Add("line_bytes_per_item", "bytes of an item's line", LineBytes(), "B");
    }

    /// <summary>Loads items and does not measure.</summary>
    public async Task FillAsync(int count, CancellationToken cancellation, int from = 0)
    {
        var progress = new ProgressLines("loading items", count - from);
        var sent = 0L;
        var streams = run.Options.Streams;
        await Task.WhenAll(Enumerable.Range(0, streams).Select(stream => Task.Run(
            () => run.Calls.LoadAsync(gateway.Address, _items, Numbers(from, count, stream, streams), lines => progress.At(Interlocked.Add(ref sent, lines)), cancellation),
            cancellation)));
        progress.Done();
    }

    private static IEnumerable<long> Numbers(int from, int until, int first, int step)
    {
        for (long number = from + first; number < until; number += step)
        {
            yield return number;
        }
    }

    private async Task UntilVisibleAsync(int count, CancellationToken cancellation)
    {
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < VisibleLimit;)
        {
            var catalogs = await run.Calls.SilosAsync(silos.Running[0].Address, cancellation);
            if (catalogs.All(silo => (int)silo!["items"]! >= count))
            {
                return;
            }

            await Task.Delay(100, cancellation);
        }

        throw new InvalidOperationException($"Not all of {count} items are in all catalogues after {VisibleLimit.TotalSeconds} s.");
    }

    private double LineBytes()
    {
        const int Sample = 1_000;
        var lines = new ArrayBufferWriter<byte>();
        for (var number = 0; number < Sample; number++)
        {
            _items.WriteLine(number, lines);
        }

        return (double)lines.WrittenCount / Sample;
    }

    private long[] Resident() => [.. silos.Running.Select(silo => silo.ResidentBytes())];

    private static double Mebi(long[] bytes) => bytes.Average() / 1048576;

    private void Add(string key, string what, double value, string unit) => run.Figures.Add(Part, key, what, value, unit);
}
