using System.Globalization;
using System.Text;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Tests;
using RecBackend.Grains.Catalog;

namespace RecBackend.Cluster.Tests.Catalog;

/// <summary>The rows that a silo gives to one that joins.</summary>
public sealed class CatalogPageTests
{
    private static readonly int IdFloats = FakeModel.LayoutOf("b").ItemId;
    private static readonly int Floats = FakeModel.LayoutOf("b").Representation;

    [Fact]
    public void Pages_together_hold_every_row_once()
    {
        const int Items = 50_000;
        var model = Serving(1);
        for (var item = 0; item < Items; item++)
        {
            Put(model, Id(item), version: item + 1, value: item);
        }

        model.Catalog.Delete(Encoding.UTF8.GetBytes(Id(7)), Items + 1);
        var (rows, pages) = Read(model);
        Assert.InRange(pages, 2, 100);
        Assert.Equal(Items - 1, rows.Count);
        Assert.Equal(Items - 1, rows.Select(row => row.Id).Distinct().Count());
        Assert.All(rows, row =>
        {
            var item = int.Parse(row.Id[1..], CultureInfo.InvariantCulture);
            Assert.Equal((item + 1, item + 1), (row.Version, row.RowVersion));
            Assert.Equal(Enumerable.Repeat((float)item, Floats), row.RepresentationFor("bundle-1")!.Values);
            Assert.Equal(item, row.Counters.Clicks);
        });
    }

    [Fact]
    public void Row_that_one_of_two_models_has_not_got_yet_is_left_to_the_comparison()
    {
        var (active, previous) = (Serving(1), Serving(2));
        foreach (var model in new[] { active, previous })
        {
            Put(model, "both", version: 1, value: model == active ? 10 : 20);
            Put(model, "newer in one", version: model == active ? 3 : 2, value: 0);
        }

        Put(active, "in one", version: 4, value: 0);
        var row = Assert.Single(Read(active, previous).Rows);
        Assert.Equal("both", row.Id);
        Assert.Equal((10f, 20f), (row.RepresentationFor("bundle-1")!.Values[0], row.RepresentationFor("bundle-2")!.Values[0]));
    }

    [Fact]
    public void Rows_that_come_while_pages_are_read_keep_none_out()
    {
        var model = Serving(1);
        for (var item = 0; item < 40_000; item++)
        {
            Put(model, Id(item), version: 1, value: 1);
        }

        var first = CatalogPage.Read([model], 0);
        for (var item = 40_000; item < 45_000; item++)
        {
            Put(model, Id(item), version: 1, value: 1);
            model.Catalog.Delete(Encoding.UTF8.GetBytes(Id(item - 40_000)), 2);
        }

        var ids = first.Records.Concat(Rest(first.Next, model).Rows).Select(row => row.Id).ToHashSet();
        Assert.All(Enumerable.Range(5_000, 40_000), item => Assert.Contains(Id(item), ids));
    }

    private static (List<ItemRecord> Rows, int Pages) Read(params ServingModel[] models) => Rest(0, models);

    private static (List<ItemRecord> Rows, int Pages) Rest(int? from, params ServingModel[] models)
    {
        var (rows, pages) = (new List<ItemRecord>(), 0);
        while (from is { } next)
        {
            var page = CatalogPage.Read(models, next);
            rows.AddRange(page.Records);
            from = page.Next;
            pages++;
        }

        return (rows, pages);
    }

    private static string Id(int item) => string.Create(CultureInfo.InvariantCulture, $"i{item}");

    private static ServingModel Serving(int number)
    {
        var model = new FakeModel(number);
        return new(model, new ItemCatalog(model.Layout, RowPrecision.Single));
    }

    private static void Put(ServingModel model, string id, long version, float value) => model.Catalog.Put(
        Encoding.UTF8.GetBytes(id), version, [.. Enumerable.Repeat(-1f, IdFloats), .. Enumerable.Repeat(value, Floats)], cold: true, new ItemCounters(0, (long)value, 0));
}
