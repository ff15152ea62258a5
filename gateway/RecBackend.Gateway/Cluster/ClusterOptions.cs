using System.Globalization;
using RecBackend.Http.Configuration;

namespace RecBackend.Gateway.Cluster;

/// <summary>The section <c>RecBackend:Gateway:Cluster</c>: where a cluster is found whose silos the gateway follows.</summary>
internal sealed record ClusterOptions
{
    /// <summary>The section.</summary>
    public const string Section = "RecBackend:Gateway:Cluster";

    /// <summary>Key of the setting that holds the API key, of scope <c>admin</c>, with which the silos are asked. Read at each question, so that the key can be changed while the gateway runs.</summary>
    public const string KeySetting = Section + ":Key";

    // Well below what a silo drains for (3 s).
    private const int DefaultPollMs = 1_000;

    /// <summary>Base URLs under which at least one silo should answer, whatever becomes of the others.</summary>
    public required IReadOnlyList<Uri> Seeds { get; init; }

    /// <summary>Time between two questions, on average.</summary>
    public TimeSpan Poll { get; init; }

    /// <summary>Reads and checks the section.</summary>
    /// <returns>The options, or null if there are no seeds: then the hosts are fixed.</returns>
    /// <exception cref="ConfigurationException">Names the key that is wrong.</exception>
    public static ClusterOptions? Read(IConfiguration configuration)
    {
        var section = configuration.GetSection(Section);
        if (section.GetChildren().FirstOrDefault(child => child.Key.ToUpperInvariant() is not ("SEEDS" or "KEY" or "POLLMS")) is { } unknown)
        {
            throw new ConfigurationException(unknown.Path, "is not a key of the gateway; known are Seeds, Key, PollMs.");
        }

        var seeds = section.GetSection("Seeds").GetChildren().ToList();
        if (seeds.Count == 0)
        {
            return null;
        }

        foreach (var other in new[] { "Gateway:Destinations", "ReverseProxy" })
        {
            if (configuration.GetSection(other).Exists())
            {
                throw new ConfigurationException($"{Section}:Seeds", $"is set beside {other}. A gateway follows a cluster or has fixed hosts, not both.");
            }
        }

        var poll = section["PollMs"] ?? DefaultPollMs.ToString(CultureInfo.InvariantCulture);
        return new ClusterOptions
        {
            Seeds = [.. seeds.Select(ReadSeed)],
            Poll = int.TryParse(poll, NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds) && milliseconds >= 1
                ? TimeSpan.FromMilliseconds(milliseconds)
                : throw new ConfigurationException($"{Section}:PollMs", $"is '{poll}', and must be a whole number of at least 1."),
        };
    }

    private static Uri ReadSeed(IConfigurationSection seed) =>
        Silo.TryReadAddress(seed.Value, out var address) ? address : throw new ConfigurationException(seed.Path, $"is '{seed.Value}', which is not the URL of a host.");
}
