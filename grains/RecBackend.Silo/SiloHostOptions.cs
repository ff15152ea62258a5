using RecBackend.Hosting;
using RecBackend.Http.Configuration;

namespace RecBackend.Silo;

/// <summary>The section <c>RecBackend</c>.</summary>
internal sealed record SiloHostOptions
{
    /// <summary>What it has in common with other hosts. The state folder holds bundles only: users and items are in blobs.</summary>
    public required ServingOptions Serving { get; init; }

    /// <summary>The cluster.</summary>
    public required ClusterSettings Cluster { get; init; }

    /// <summary>Reads and checks the section.</summary>
    /// <exception cref="ConfigurationException">Names the key that is wrong.</exception>
    public static SiloHostOptions Read(IConfiguration configuration) => new()
    {
        Serving = ServingOptions.Read(configuration, "the folder for bundles", "Cluster"),
        Cluster = ClusterSettings.Read(configuration.GetSection($"{ServingOptions.Section}:Cluster")),
    };
}
