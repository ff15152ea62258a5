namespace RecBackend.Server.Tests.Hosting;

/// <summary>Files of the repository, and the programs that were built with these tests.</summary>
internal static class Checkout
{
    public static string Root { get; } = Find();

    public static string TinyBundle => Path.Combine(Root, "tests", "golden", "tiny-bundle");

    public static string Server => Program("src/RecBackend.Server", "RecBackend.Server.dll");

    public static string Silo => Program("grains/RecBackend.Silo", "RecBackend.Silo.dll");

    public static string Gateway => Program("gateway/RecBackend.Gateway", "RecBackend.Gateway.dll");

    public static string TinyData(string file) => Path.Combine(Root, "tests", "golden", "tiny-data", file);

    // The program's own output folder: beside the tests lie its files, but not its settings and its runtime configuration.
    private static string Program(string project, string file)
    {
        var built = new DirectoryInfo(AppContext.BaseDirectory);
        return Path.Combine(Root, project, "bin", built.Parent!.Name, built.Name, file);
    }

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
