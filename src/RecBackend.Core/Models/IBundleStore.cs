namespace RecBackend.Core.Models;

/// <summary>Port: the bundles that a host has on disk. Implemented in RecBackend.Scoring.</summary>
public interface IBundleStore
{
    /// <summary>All stored bundles, newest first.</summary>
    IReadOnlyList<BundleSummary> List();

    /// <summary>Unpacks, checks (manifest, hashes) and stores a bundle; one that is stored already is left as it is.</summary>
    /// <exception cref="BundleRefusedException">The bundle is not valid; nothing was stored.</exception>
    ValueTask<BundleSummary> AddAsync(Stream zip, CancellationToken cancellation);

    /// <summary>Loads a stored bundle and checks it in full, golden examples included.</summary>
    /// <exception cref="BundleRefusedException">The bundle is not stored, or not valid.</exception>
    ValueTask<IModel> LoadAsync(string version, CancellationToken cancellation);

    /// <summary>The version that was active when the host last ran, and the one before it.</summary>
    ActiveVersions ReadActive();

    /// <summary>Records the active versions durably.</summary>
    void WriteActive(ActiveVersions versions);
}

/// <summary>Versions of the active bundle and of the one that a rollback returns to; null where there is none.</summary>
public sealed record ActiveVersions(string? Active, string? Previous);

/// <summary>What a list of bundles shows.</summary>
/// <param name="Version">The bundle's version.</param>
/// <param name="Recipe">The recipe that trained it.</param>
/// <param name="Created">When.</param>
/// <param name="Bytes">Size of its files.</param>
/// <param name="Metrics">Metrics by split and name, as training wrote them.</param>
public sealed record BundleSummary(
    string Version, string Recipe, DateTimeOffset Created, long Bytes, IReadOnlyDictionary<string, IReadOnlyDictionary<string, double>> Metrics);

/// <summary>A bundle cannot be used. Codes are listed in docs/bundle-format.md, section 7, and <c>bundle_unknown</c>.</summary>
public sealed class BundleRefusedException(string code, string detail, Exception? inner = null) : Exception(detail, inner)
{
    /// <summary>Stable code.</summary>
    public string Code { get; } = code;
}
