using RecBackend.Core.Models;

namespace RecBackend.Http.Models;

/// <summary>A stored bundle.</summary>
/// <param name="Version">Its version.</param>
/// <param name="Recipe">The recipe that trained it.</param>
/// <param name="Created">When.</param>
/// <param name="Bytes">Size of its files.</param>
/// <param name="Metrics">Metrics by split and name, as training wrote them.</param>
public sealed record ModelReply(
    string Version, string Recipe, DateTimeOffset Created, long Bytes, IReadOnlyDictionary<string, IReadOnlyDictionary<string, double>> Metrics)
{
    internal static ModelReply Of(BundleSummary bundle) => new(bundle.Version, bundle.Recipe, bundle.Created, bundle.Bytes, bundle.Metrics);
}

/// <summary>The bundles of this host.</summary>
public sealed record ModelListReply
{
    /// <summary>Version that answers; absent without one.</summary>
    public string? Active { get; init; }

    /// <summary>Version that a rollback returns to; absent without one.</summary>
    public string? Previous { get; init; }

    /// <summary>Version that is being made ready; absent without one.</summary>
    public string? Preparing { get; init; }

    /// <summary>All that are stored, newest first.</summary>
    public required IReadOnlyList<ModelReply> Models { get; init; }
}
