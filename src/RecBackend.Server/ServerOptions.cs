using RecBackend.Hosting;
using RecBackend.Http.Configuration;

namespace RecBackend.Server;

/// <summary>The section <c>RecBackend</c>.</summary>
internal sealed record ServerOptions
{
    /// <summary>What it has in common with other hosts.</summary>
    public required ServingOptions Serving { get; init; }

    /// <summary>A bundle, as folder or zip, to add and activate at start, unless it is the one that was configured at the last start: activations and rollbacks by calls outlive a restart.</summary>
    public string? Bundle { get; init; }

    /// <summary>Base URL under which a gateway reaches this host: <c>Cluster:Address</c>.</summary>
    public Uri? Address { get; init; }

    /// <summary>Memory for users' histories and encodings, MiB.</summary>
    public int UserCacheMiB { get; init; }

    /// <summary>Reads and checks the section.</summary>
    /// <exception cref="ConfigurationException">Names the key that is wrong.</exception>
    public static ServerOptions Read(IConfiguration configuration)
    {
        var section = configuration.GetSection(ServingOptions.Section);
        return new ServerOptions
        {
            Serving = ServingOptions.Read(configuration, "the folder for users, items and bundles", "Bundle", "Users", "Cluster"),
            Bundle = section["Bundle"] is { Length: > 0 } bundle ? Existing(bundle) : null,
            Address = ReadAddress(section.GetSection("Cluster")),
            UserCacheMiB = section.Read("Users:CacheMiB", absent: 512, least: 1),
        };
    }

    private static string Existing(string bundle) =>
        File.Exists(bundle) || Directory.Exists(bundle)
            ? Path.GetFullPath(bundle)
            : throw new ConfigurationException($"{ServingOptions.Section}:Bundle", $"is '{bundle}', where there is neither a folder nor a zip.");

    // The other keys of the section are a silo's: here they would promise a cluster and do nothing.
    private static Uri? ReadAddress(IConfigurationSection section)
    {
        if (section.GetChildren().FirstOrDefault(child => !child.Key.Equals("Address", StringComparison.OrdinalIgnoreCase)) is { } other)
        {
            throw new ConfigurationException(other.Path, "is not a key of this host, which is a cluster of its own; known is Address.");
        }

        return section.ReadAddress("Address");
    }
}
