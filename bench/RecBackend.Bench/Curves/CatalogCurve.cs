using System.Globalization;
using System.Text;
using RecBackend.Bench.Cluster;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;

namespace RecBackend.Bench.Curves;

/// <summary>
/// Cost over the size of the catalogue: the look-up and copy of rows of 64 floats alone, and whole rankings by the bundle; candidates at random and by Zipf's law. Rows in 16 bits. All sizes are in
/// memory at once and take turns. The items are written to the catalogue and to no store: what is measured is reading.
/// </summary>
internal static class CatalogCurve
{
    private const int DistinctRequests = 200;

    // Rows of the catalogue that is measured for memory: 64 floats of vectors, and the three statistics.
    private const int Vectors = 64;

    private const long Now = 1_700_000_000_000;

    public static async Task<(Curve Curve, MemoryFigures Memory)> MeasureAsync(string folder, CurvesOptions options, CancellationToken cancellation)
    {
        var layout = new ModelLayout
        {
            Version = "curves",
            Recipe = "curves",
            ItemId = Vectors / 2,
            Representation = Vectors / 2,
            UserId = 16,
            History = 50,
            UserState = 96,
            HistoryState = 97,
            Statistics = [new(StatisticKind.Impressions), new(StatisticKind.ClickRate, 0.5, 20), new(StatisticKind.Age)],
        };
        var catalogs = new List<ItemCatalog>();
        MemoryFigures? memory = null;
        foreach (var size in options.Items)
        {
            var before = ResidentBytes();
            var catalog = new ItemCatalog(layout, RowPrecision.Half);
            var clock = System.Diagnostics.Stopwatch.StartNew();
            Fill(catalog, size, cancellation);
            var seconds = clock.Elapsed.TotalSeconds;
            memory = new MemoryFigures(size, ResidentBytes() - before, catalog.MemoryUsage, seconds);
            ProgressLines.Say(memory.ToString());
            catalogs.Add(catalog);
        }

        var engines = new List<BenchEngine>();
        try
        {
            var turns = new List<Turn>();
            var names = new List<(string Series, double X)>();
            foreach (var (size, catalog) in options.Items.Zip(catalogs))
            {
                var engine = await BenchEngine.OpenAsync(Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"catalog-{size}")), cancellation, RowPrecision.Half);
                engines.Add(engine);
                await engine.ActivateAsync(options.Bundle, cancellation);
                Fill(engine.Catalog, size, cancellation);
                foreach (var draw in new ItemDraw[] { new UniformDraw(size, options.Seed), new ZipfDraw(size, options.Seed) })
                {
                    var requests = Enumerable.Range(0, DistinctRequests).Select(_ => Request(draw.Draw(Math.Min(options.CatalogCandidates, size)))).ToArray();
                    turns.Add(Gather(catalog, requests));
                    names.Add(($"look-up and copy, {draw.Name}", size));
                    turns.Add(Rank(engine.Ranker, requests));
                    names.Add(($"ranking, {draw.Name}", size));
                }
            }

            ResidentBytes();
            var samples = await Turns.MeasureAsync("catalogue", turns, options.Requests, cancellation);
            var series = names.Zip(samples).GroupBy(x => x.First.Series)
                .Select(one => new CurveSeries(one.Key, [.. one.Select(x => CurvePoint.Of(x.First.X, x.Second))])).ToList();
            return (new Curve("catalog", string.Create(CultureInfo.InvariantCulture, $"{options.CatalogCandidates:N0} candidates by size of the catalogue"), "items", series), memory!);
        }
        finally
        {
            foreach (var engine in engines)
            {
                await engine.DisposeAsync();
            }
        }
    }

    /// <summary>Puts items of random vectors, numbered from 0.</summary>
    public static void Fill(ItemCatalog catalog, int items, CancellationToken cancellation)
    {
        // Windows of one block of numbers: drawing 64 of them for each of ten million items would take longer than everything else.
        var random = new Random(1);
        var block = new float[1 << 16];
        foreach (ref var x in block.AsSpan())
        {
            x = random.NextSingle() - 0.5f;
        }

        var progress = new ProgressLines("filling the catalogue", items);
        for (var i = 0; i < items; i++)
        {
            if (i % 4096 == 0)
            {
                cancellation.ThrowIfCancellationRequested();
                progress.At(i);
            }

            var vectors = block.AsSpan(random.Next(block.Length - catalog.VectorWidth), catalog.VectorWidth);
            catalog.Put(Id(i), i + 1, vectors, cold: false, new ItemCounters(random.Next(1000), random.Next(100), Now - random.NextInt64(1_000_000_000)));
        }
    }

    private static Turn Gather(ItemCatalog catalog, RankRequest[] requests)
    {
        var rows = new CandidateRows();
        RankRequest? request = null;
        return new Turn(
            i =>
            {
                if (request is not null && rows.Count != request.Candidates.Count)
                {
                    throw new InvalidOperationException($"{rows.Count} of {request.Candidates.Count} candidates were found.");
                }

                request = requests[i % requests.Length];
            },
            () =>
            {
                catalog.Gather(request!.Candidates, Now, rows);
                return ValueTask.CompletedTask;
            });
    }

    private static Turn Rank(IRanker ranker, RankRequest[] requests)
    {
        RankRequest? request = null;
        Ranking? last = null;
        return new Turn(
            i =>
            {
                using var ranking = last;
                if (ranking is not null && (ranking.Mode != RankingMode.Model || ranking.Items.Length != request!.Candidates.Count))
                {
                    throw new InvalidOperationException($"{ranking.Items.Length} of {request!.Candidates.Count} candidates were ranked, by {ranking.Mode}.");
                }

                request = requests[i % requests.Length];
            },
            async () => last = await ranker.RankAsync(request!, CancellationToken.None));
    }

    private static RankRequest Request(int[] items)
    {
        var request = new RankRequest { User = "a-user-of-whom-nothing-is-known" };
        foreach (var item in items)
        {
            request.Candidates.Add(Id(item));
        }

        return request;
    }

    private static byte[] Id(int number) => Encoding.UTF8.GetBytes(SyntheticItems.Id(number));

    // What the process holds once nothing is left to collect.
    private static long ResidentBytes()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        GC.WaitForPendingFinalizers();
        return Environment.WorkingSet;
    }
}

/// <summary>Memory of a catalogue.</summary>
/// <param name="Items">Its items.</param>
/// <param name="Grown">By how many bytes the process grew.</param>
/// <param name="Known">What the catalogue itself says that it holds.</param>
/// <param name="FillSeconds">How long writing it took.</param>
internal sealed record MemoryFigures(int Items, long Grown, CatalogMemory Known, double FillSeconds)
{
    /// <summary>All included.</summary>
    public double BytesPerItem => (double)Grown / Items;

    /// <summary>One line.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Items:N0} items: the process grew by {BytesPerItem:F0} bytes an item; rows {Known.RowBytes / (double)Items:F0}, entries {Known.EntryBytes / (double)Items:F0}, IDs {Known.IdBytes / (double)Items:F0}, table {Known.TableBytes / (double)Items:F0}; filled in {FillSeconds:F1} s");
}
