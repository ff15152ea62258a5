using System.Globalization;
using System.Text;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using Xunit.Abstractions;

namespace RecBackend.Core.Tests.Catalog;

/// <summary>docs/catalog.md states what an item costs; RECBACKEND_CATALOG_ITEMS=1000000 gives its figures.</summary>
[Collection(MeasuresTheProcess.Name)]
public class CatalogMemoryTests(ITestOutputHelper output)
{
    private static readonly int Items =
        int.Parse(Environment.GetEnvironmentVariable("RECBACKEND_CATALOG_ITEMS") ?? "250000", CultureInfo.InvariantCulture);

    [Theory]
    [InlineData(RowPrecision.Single, 268)]
    [InlineData(RowPrecision.Half, 140)]
    public void Memory_is_what_the_catalogue_says_it_is(RowPrecision precision, int rowBytes)
    {
        // 64 floats of vectors and 3 statistics.
        var layout = FakeModel.LayoutOf("bundle-1") with { ItemId = 0, Representation = 64 };
        var vectors = new float[64];
        var before = SettledMemory();
        var catalog = new ItemCatalog(layout, precision);
        Span<byte> id = stackalloc byte[32];
        for (var i = 0; i < Items; i++)
        {
            Encoding.UTF8.TryGetBytes($"item-{i:d8}", id, out var length);
            catalog.Put(id[..length], 1, vectors, cold: false, ItemCounters.None);
        }

        var held = SettledMemory() - before;
        var memory = catalog.MemoryUsage;
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{precision}: {Items} items, {memory.PerItem:f1} bytes each: rows {(double)memory.RowBytes / Items:f1}, entries {(double)memory.EntryBytes / Items:f1}, IDs {(double)memory.IdBytes / Items:f1}, tables {(double)memory.TableBytes / Items:f1}; the runtime counts {(double)held / Items:f1}"));

        // The runtime's own pools and the test host come and go by a few MB meanwhile.
        const double Others = 3e6;
        Assert.InRange(held, memory.Total * 0.98 - Others, memory.Total * 1.02 + Others);
        Assert.Equal(rowBytes, memory.RowBytes / ((Items + 4095) / 4096 * 4096));
        Assert.Equal((Items, 0), (memory.Items, memory.Tombstones));
        GC.KeepAlive(catalog);
    }

    /// <summary>Bytes in use once two collections in a row, finalizers included, find the same to 64 KiB.</summary>
    private static long SettledMemory()
    {
        var last = long.MaxValue;
        for (var i = 0; i < 20; i++)
        {
            var now = GC.GetTotalMemory(forceFullCollection: true);
            if (Math.Abs(now - last) < 65536)
            {
                return now;
            }

            GC.WaitForPendingFinalizers();
            last = now;
        }

        return last;
    }
}
