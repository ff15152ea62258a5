using System.Text;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;

namespace RecBackend.Core.Models;

/// <summary>Writes items and their changes into one catalogue.</summary>
/// <param name="catalog">The catalogue.</param>
/// <param name="model">The model whose rows it holds, or null for a catalogue of counters alone.</param>
internal sealed class CatalogFeed(ItemCatalog catalog, IModel? model)
{
    /// <summary>The model whose rows are fed.</summary>
    public IModel? Model => model;

    /// <summary>The catalogue.</summary>
    public ItemCatalog Catalog => catalog;

    /// <summary>Whether the row of an item is at least that of one of its versions.</summary>
    public bool HasRow(string item, long version)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        return catalog.TryGetVersions(utf8[..Encoding.UTF8.GetBytes(item, utf8)], out var versions) && versions.Row >= version;
    }

    /// <summary>Applies a change.</summary>
    /// <returns>False if the item has no representation for this model, so that its row is still what it was.</returns>
    public bool Apply(in ItemChange change)
    {
        if (change.Record is { } record)
        {
            return Apply(record);
        }

        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        var id = utf8[..Encoding.UTF8.GetBytes(change.Id, utf8)];
        if (change.Kind == ItemChangeKind.Deleted)
        {
            catalog.Delete(id, change.Version);
        }
        else
        {
            catalog.UpdateCounters(id, change.Version, change.Counters);
        }

        return true;
    }

    /// <summary>Applies what an item is now.</summary>
    /// <returns>False if the item has no representation for this model, so that its row is still what it was.</returns>
    public bool Apply(ItemRecord record)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        var id = utf8[..Encoding.UTF8.GetBytes(record.Id, utf8)];
        if (model is null)
        {
            catalog.Put(id, record.Version, [], cold: true, record.Counters, record.RowVersion);
            return true;
        }

        if (record.RepresentationFor(model.Layout.Version) is not { } representation)
        {
            catalog.UpdateCounters(id, record.Version, record.Counters);
            return false;
        }

        Span<float> vectors = catalog.VectorWidth <= 1024 ? stackalloc float[catalog.VectorWidth] : new float[catalog.VectorWidth];
        var known = model.TryGetItemEmbedding(id, vectors[..model.Layout.ItemId]);
        representation.Values.CopyTo(vectors[model.Layout.ItemId..]);
        catalog.Put(id, record.Version, vectors, cold: !known, record.Counters, record.RowVersion);
        return true;
    }
}
