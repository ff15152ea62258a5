using RecBackend.Core.Catalog;

namespace RecBackend.Core.Models;

/// <summary>A loaded bundle together with the rows that were made for it. Rankings hold on to one from start to end, so that no score mixes bundles.</summary>
public sealed record ServingModel(IModel Model, ItemCatalog Catalog)
{
    /// <summary>Sizes and feature order.</summary>
    public ModelLayout Layout => Model.Layout;

    /// <summary>The bundle's version.</summary>
    public string Version => Model.Layout.Version;
}
