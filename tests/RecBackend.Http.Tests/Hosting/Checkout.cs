namespace RecBackend.Http.Tests.Hosting;

/// <summary>Files of the repository that tests read.</summary>
internal static class Checkout
{
    public static string Root { get; } = Find();

    public static string TinyBundle => Path.Combine(Root, "tests", "golden", "tiny-bundle");

    public static string TinyData(string file) => Path.Combine(Root, "tests", "golden", "tiny-data", file);

    private static string Find()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "RecBackend.sln")))
        {
            folder = folder.Parent ?? throw new InvalidOperationException("The tests do not run inside a checkout.");
        }

        return folder.FullName;
    }
}
