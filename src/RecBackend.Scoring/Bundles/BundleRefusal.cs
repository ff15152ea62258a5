using RecBackend.Core.Models;

namespace RecBackend.Scoring.Bundles;

/// <summary>The refusals of docs/bundle-format.md, section 7.</summary>
internal static class BundleRefusal
{
    public const string MissingFileCode = "bundle_missing_file";
    public const string HashMismatchCode = "bundle_hash_mismatch";
    public const string FormatUnsupportedCode = "bundle_format_unsupported";
    public const string ManifestInvalidCode = "bundle_manifest_invalid";
    public const string DimsMismatchCode = "bundle_dims_mismatch";
    public const string GoldenMismatchCode = "bundle_golden_mismatch";
    public const string ArchiveInvalidCode = "bundle_archive_invalid";
    public const string UnknownCode = "bundle_unknown";

    public static BundleRefusedException MissingFile(string file) =>
        new(MissingFileCode, $"The bundle has no file {file}.");

    public static BundleRefusedException HashMismatch(string file, string expected, string actual) =>
        new(HashMismatchCode, $"{file}: the manifest says sha256 {expected}, the file's is {actual}. The bundle was changed or damaged; train or copy it again.");

    public static BundleRefusedException FormatUnsupported(string found) =>
        new(FormatUnsupportedCode, $"manifest.json: format is {found}; this host reads format {Manifest.SupportedFormat}.");

    public static BundleRefusedException ManifestInvalid(string key, string problem, Exception? inner = null) =>
        new(ManifestInvalidCode, $"manifest.json: {key} {problem}.", inner);

    public static BundleRefusedException DimsMismatch(string file, string problem, Exception? inner = null) =>
        new(DimsMismatchCode, $"{file}: {problem}", inner);

    public static BundleRefusedException GoldenMismatch(string problem, Exception? inner = null) =>
        new(GoldenMismatchCode, $"golden.safetensors: {problem}", inner);

    public static BundleRefusedException ArchiveInvalid(string problem, Exception? inner = null) =>
        new(ArchiveInvalidCode, $"The archive cannot be taken: {problem}", inner);

    public static BundleRefusedException Unknown(string version) =>
        new(UnknownCode, $"There is no bundle {version} here; push it first.");
}
