using System.Globalization;
using System.Text;
using BenchmarkDotNet.Attributes;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;

namespace RecBackend.Bench.Micro;

/// <summary>
/// Reading the catalogue: 100,000 items, rows of 99 floats, random candidates. Requests take turns, so that rows come from where they lie in service: from main memory, not from the first caches.
/// </summary>
[MemoryDiagnoser]
public class CatalogBenchmarks
{
    private const int Items = 100_000;
    private const long Now = 1_700_000_000_000;

    private const int Requests = 128;

    private readonly CandidateList[] _requests = [.. Enumerable.Range(0, Requests).Select(_ => new CandidateList())];
    private readonly CandidateRows _rows = new();
    private ItemCatalog _catalog = null!;
    private int _next;

    [Params(500)]
    public int Candidates { get; set; }

    [Params(RowPrecision.Single, RowPrecision.Half)]
    public RowPrecision Precision { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        var random = new Random(1);
        var layout = new ModelLayout
        {
            Version = "micro",
            Recipe = "micro",
            ItemId = 32,
            Representation = 64,
            UserId = 16,
            History = 50,
            UserState = 96,
            HistoryState = 97,
            Statistics = [new(StatisticKind.Impressions), new(StatisticKind.ClickRate, 0.5, 20), new(StatisticKind.Age)],
        };
        _catalog = new ItemCatalog(layout, Precision);
        var vectors = new float[layout.ItemId + layout.Representation];
        for (var i = 0; i < Items; i++)
        {
            foreach (ref var x in vectors.AsSpan())
            {
                x = random.NextSingle();
            }

            _catalog.Put(Id(i), i + 1, vectors, cold: false, new ItemCounters(random.Next(1000), random.Next(100), Now - random.NextInt64(1_000_000_000)));
        }

        foreach (var candidates in _requests)
        {
            candidates.Clear();
            for (var i = 0; i < Candidates; i++)
            {
                candidates.Add(Id(random.Next(Items)));
            }
        }
    }

    [Benchmark]
    public int LookUp()
    {
        var candidates = NextRequest();
        var known = 0;
        for (var i = 0; i < candidates.Count; i++)
        {
            known += _catalog.Contains(candidates[i]) ? 1 : 0;
        }

        return known;
    }

    [Benchmark]
    public int Gather()
    {
        _catalog.Gather(NextRequest(), Now, _rows);
        return _rows.Count;
    }

    private CandidateList NextRequest() => _requests[_next++ % Requests];

    private static byte[] Id(int number) => Encoding.UTF8.GetBytes(number.ToString(CultureInfo.InvariantCulture));
}
