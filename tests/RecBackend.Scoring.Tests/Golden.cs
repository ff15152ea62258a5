namespace RecBackend.Scoring.Tests;

/// <summary>Files of tests/golden, which both implementations must reproduce.</summary>
internal static class Golden
{
    public static string Path(params string[] parts) => System.IO.Path.Combine([AppContext.BaseDirectory, "golden", .. parts]);
}
