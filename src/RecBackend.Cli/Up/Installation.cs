namespace RecBackend.Cli.Up;

/// <summary>Where the parts of the product lie: this program runs out of the checkout that it was built in. The bench has this file too.</summary>
internal static class Installation
{
    private const string Solution = "RecBackend.sln";

    /// <summary>The checkout's root.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The server's dll.</summary>
    public static string Server => Output("src/RecBackend.Server", "RecBackend.Server.dll");

    /// <summary>The silo's dll; it is not there where the packages of the cluster engine could not be restored.</summary>
    public static string Silo => Output("grains/RecBackend.Silo", "RecBackend.Silo.dll");

    /// <summary>The gateway's dll.</summary>
    public static string Gateway => Output("gateway/RecBackend.Gateway", "RecBackend.Gateway.dll");

    /// <summary>The silo's dll.</summary>
    /// <exception cref="CommandException">It is not there.</exception>
    public static string RequireSilo() => File.Exists(Silo)
        ? Silo
        : throw new CommandException($"{Silo} is not there: a cluster needs the packages Microsoft.Orleans.* and MessagePack, and a build with them; `./rec setup` says whether they can be restored here");

    // The last three folders of this program's own path, bin/Release/net10.0, are also those of the others, which are built with it.
    private static string Output(string project, string assembly)
    {
        var framework = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        return Path.Combine(Root, project, "bin", framework.Parent!.Name, framework.Name, assembly);
    }

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, Solution)))
            {
                return folder.FullName;
            }
        }

        throw new CommandException($"{AppContext.BaseDirectory} is not inside a checkout of RecBackend: {Solution} is in no folder above it");
    }
}
