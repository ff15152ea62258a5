namespace RecBackend.Core.Catalog;

/// <summary>Rows of all items for one bundle, in memory.</summary>
public sealed class ItemCatalog
{
}
