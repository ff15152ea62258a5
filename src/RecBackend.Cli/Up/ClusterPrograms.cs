namespace RecBackend.Cli.Up;

/// <summary>The programs of others that a cluster needs. The bench and the tests of the cluster have this file too.</summary>
internal static class ClusterPrograms
{
    /// <summary>Holds the list of silos.</summary>
    public const string Redis = "redis-server";

    /// <summary>Holds everything else.</summary>
    public const string Azurite = "azurite-blob";

    /// <summary>Path of a program that is on the path, or where what npm has is kept; or null.</summary>
    public static string? TryFind(string program)
    {
        var cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } set
            ? set
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Append(Path.Combine(cache, "recbackend", "azurite", "node_modules", ".bin"));
        return folders.Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);
    }
}
