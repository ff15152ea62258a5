namespace RecBackend.Scoring.Tests;

/// <summary>Files of tests/golden, which both implementations must reproduce.</summary>
internal static class Golden
{
    public const string TinyBundle = "tiny-bundle";

    /// <summary>The bundle of the format's tests, and one of each recipe: what a host relies on must hold for all of them.</summary>
    public static IReadOnlyList<string> Bundles { get; } =
        [TinyBundle, .. Directory.GetDirectories(Path("recipes")).Select(folder => System.IO.Path.Combine("recipes", System.IO.Path.GetFileName(folder))).Order(StringComparer.Ordinal)];

    /// <summary>For a theory: each of <see cref="Bundles"/>.</summary>
    public static TheoryData<string> EachBundle => [.. Bundles];

    /// <summary>For a theory: each of <see cref="Bundles"/> with each of some values.</summary>
    public static TheoryData<string, T> EachBundleWith<T>(params T[] values)
    {
        var all = new TheoryData<string, T>();
        foreach (var bundle in Bundles)
        {
            foreach (var value in values)
            {
                all.Add(bundle, value);
            }
        }

        return all;
    }

    public static string Path(params string[] parts) => System.IO.Path.Combine([AppContext.BaseDirectory, "golden", .. parts]);
}
