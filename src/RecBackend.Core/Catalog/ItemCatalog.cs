using RecBackend.Core.Items;
using RecBackend.Core.Models;

namespace RecBackend.Core.Catalog;

/// <summary>Rows of all items for one bundle, in memory.</summary>
public sealed class ItemCatalog
{
    /// <summary>Makes an empty catalogue for the rows of <paramref name="layout"/>.</summary>
    public ItemCatalog(ModelLayout layout, RowPrecision precision) => throw new NotImplementedException();

    /// <summary>Items that have a row.</summary>
    public int Count => throw new NotImplementedException();

    /// <summary>The highest item version that was applied.</summary>
    public long Version => throw new NotImplementedException();

    /// <summary>What the catalogue holds in memory.</summary>
    public CatalogMemory MemoryUsage => throw new NotImplementedException();

    /// <summary>Writes an item's row, unless a newer one was applied.</summary>
    /// <param name="id">The item's ID in UTF-8.</param>
    /// <param name="version">The item's version.</param>
    /// <param name="vectors">[dId + dRep]: ID embedding ‖ representation.</param>
    /// <param name="cold">Whether training did not know the item.</param>
    /// <param name="counters">Its counters.</param>
    /// <returns>Whether anything was newer than what the catalogue had.</returns>
    public bool Put(ReadOnlySpan<byte> id, long version, ReadOnlySpan<float> vectors, bool cold, in ItemCounters counters) => throw new NotImplementedException();

    /// <summary>Rewrites an item's counters and the statistics made of them, unless newer ones were applied.</summary>
    public bool UpdateCounters(ReadOnlySpan<byte> id, long version, in ItemCounters counters) => throw new NotImplementedException();

    /// <summary>Removes an item's row, unless something newer was applied.</summary>
    public bool Delete(ReadOnlySpan<byte> id, long version) => throw new NotImplementedException();

    /// <summary>Whether the item has a row.</summary>
    public bool Contains(ReadOnlySpan<byte> id) => throw new NotImplementedException();

    /// <summary>Copies an item's ID embedding ‖ representation.</summary>
    /// <param name="id">The item's ID in UTF-8.</param>
    /// <param name="vectors">[dId + dRep] floats.</param>
    public bool TryGetRow(ReadOnlySpan<byte> id, Span<float> vectors) => throw new NotImplementedException();
}

/// <summary>Form in which a catalogue keeps ID embeddings and representations.</summary>
public enum RowPrecision
{
    /// <summary>32-bit floats: scores are exactly those of the bundle.</summary>
    Single,

    /// <summary>16-bit floats: half the memory; values carry 11 significant bits.</summary>
    Half,
}

/// <summary>Memory that a catalogue holds, in bytes.</summary>
/// <param name="Items">Items that have a row.</param>
/// <param name="Tombstones">IDs without a row whose versions are remembered.</param>
/// <param name="RowBytes">Pages of rows.</param>
/// <param name="EntryBytes">Pages of entries: sequence, versions, counters.</param>
/// <param name="IdBytes">Arenas of IDs.</param>
/// <param name="TableBytes">Look-up tables.</param>
public readonly record struct CatalogMemory(int Items, int Tombstones, long RowBytes, long EntryBytes, long IdBytes, long TableBytes)
{
    /// <summary>All bytes.</summary>
    public long Total => RowBytes + EntryBytes + IdBytes + TableBytes;

    /// <summary>Bytes for each item; 0 in an empty catalogue.</summary>
    public double PerItem => Items == 0 ? 0 : (double)Total / Items;
}
