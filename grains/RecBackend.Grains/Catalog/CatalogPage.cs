using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Grains.Items;

namespace RecBackend.Grains.Catalog;

/// <summary>Rows of a replica of the catalogue.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.CatalogPage")]
public sealed class CatalogPage
{
    /// <summary>About how long a page is, in bytes: as messages of changes are.</summary>
    private const int PageBytes = 2 << 20;

    /// <summary>The rows, without content.</summary>
    [Id(0)]
    public required ItemChangeMessage[] Rows { get; init; }

    /// <summary>The version at which each row was written.</summary>
    [Id(1)]
    public required long[] RowVersions { get; init; }

    /// <summary>Where to go on; null at the end.</summary>
    [Id(2)]
    public int? Next { get; init; }

    internal IEnumerable<ItemRecord> Records => Rows.Zip(RowVersions, (row, version) => row.ToChange().Record! with { RowVersion = version });

    /// <summary>Reads a page of the rows that all of these models have at the same version.</summary>
    internal static CatalogPage Read(IReadOnlyList<ServingModel> models, int from)
    {
        var rows = new List<CatalogRow>();
        var next = models[0].Catalog.ReadRows(from, Math.Max(1, PageBytes / models.Sum(model => 100 + (4 * model.Catalog.VectorWidth))), rows);
        var read = new List<(CatalogRow Row, RepresentationState[] Representations)>(rows.Count);
        foreach (var row in rows)
        {
            // A row that one of them has not got yet is left out: the comparison with the items finds it.
            var others = models.Skip(1).Select(model => model.Catalog.ReadRow(row.Id)).ToList();
            if (others.TrueForAll(other => other?.Versions == row.Versions))
            {
                read.Add((row, [.. others.Select(other => other!.Value).Prepend(row).Zip(models, Representation)]));
            }
        }

        return new()
        {
            Rows = [.. read.Select(one => new ItemChangeMessage
            {
                Id = one.Row.Id,
                Version = one.Row.Versions.Item,
                Kind = ItemChangeKind.Written,
                Counters = CountersState.Of(one.Row.Counters),
                Representations = one.Representations,
            })],
            RowVersions = [.. read.Select(one => one.Row.Versions.Row)],
            Next = next,
        };
    }

    private static RepresentationState Representation(CatalogRow row, ServingModel model) => new() { Bundle = model.Version, Values = row.Vectors[model.Layout.ItemId..] };
}
