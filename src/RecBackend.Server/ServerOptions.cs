using RecBackend.Core.Catalog;
using RecBackend.Http.Configuration;
using RecBackend.Scoring;

namespace RecBackend.Server;

/// <summary>The section <c>RecBackend</c>, but for <c>Keys</c>, <c>Limits</c> and <c>DrainSeconds</c>, which the endpoints read.</summary>
internal sealed record ServerOptions
{
    private const string Section = "RecBackend";

    private static readonly string[] KnownKeys = ["State", "Development", "Bundle", "Keys", "Limits", "Scoring", "Catalog", "Users", "Cluster", "DrainSeconds"];

    /// <summary>Folder of everything that is kept: users, items, bundles.</summary>
    public required string State { get; init; }

    /// <summary>Whether no keys are needed while the host listens on loopback only.</summary>
    public bool Development { get; init; }

    /// <summary>A bundle, as folder or zip, to add and activate at start, unless it is the one that was configured at the last start: activations and rollbacks by calls outlive a restart.</summary>
    public string? Bundle { get; init; }

    /// <summary>Base URL under which a gateway reaches this host: <c>Cluster:Address</c>.</summary>
    public Uri? Address { get; init; }

    /// <summary>Form of the catalogue's rows.</summary>
    public RowPrecision Precision { get; init; }

    /// <summary>Memory for users' histories and encodings, MiB.</summary>
    public int UserCacheMiB { get; init; }

    /// <summary>How models run.</summary>
    public required ScoringOptions Scoring { get; init; }

    /// <summary>Reads and checks the section.</summary>
    /// <exception cref="ConfigurationException">Names the key that is wrong.</exception>
    public static ServerOptions Read(IConfiguration configuration)
    {
        var section = configuration.GetSection(Section);
        foreach (var child in section.GetChildren())
        {
            if (!KnownKeys.Contains(child.Key, StringComparer.OrdinalIgnoreCase))
            {
                throw new ConfigurationException(child.Path, $"is not a key of this host; known are {string.Join(", ", KnownKeys)}.");
            }
        }

        return new ServerOptions
        {
            State = section["State"] is { Length: > 0 } state
                ? Path.GetFullPath(state)
                : throw new ConfigurationException($"{Section}:State", "is missing: the folder for users, items and bundles."),
            Development = Read(section, "Development", false),
            Bundle = section["Bundle"] is { Length: > 0 } bundle ? Existing(bundle) : null,
            Address = ReadAddress(section.GetSection("Cluster")),
            Precision = Read(section, "Catalog:Precision", RowPrecision.Single),
            UserCacheMiB = Read(section, "Users:CacheMiB", 512) is var cache and >= 1
                ? cache
                : throw new ConfigurationException($"{Section}:Users:CacheMiB", "must be at least 1."),
            Scoring = ReadScoring(section.GetSection("Scoring")),
        };
    }

    private static T Read<T>(IConfigurationSection section, string key, T absent)
    {
        try
        {
            return section.GetValue(key, absent)!;
        }
        catch (InvalidOperationException)
        {
            throw new ConfigurationException($"{section.Path}:{key}", $"is '{section[key]}', which is no {Words(typeof(T))}.");
        }
    }

    private static string Words(Type type) =>
        type.IsEnum ? $"one of {string.Join(", ", Enum.GetNames(type)).ToLowerInvariant()}"
        : type == typeof(bool) ? "true or false"
        : "whole number";

    private static string Existing(string bundle) =>
        File.Exists(bundle) || Directory.Exists(bundle)
            ? Path.GetFullPath(bundle)
            : throw new ConfigurationException($"{Section}:Bundle", $"is '{bundle}', where there is neither a folder nor a zip.");

    // The other keys of the section are a silo's: here they would promise a cluster and do nothing.
    private static Uri? ReadAddress(IConfigurationSection section)
    {
        if (section.GetChildren().FirstOrDefault(child => !child.Key.Equals("Address", StringComparison.OrdinalIgnoreCase)) is { } other)
        {
            throw new ConfigurationException(other.Path, "is not a key of this host, which is a cluster of its own; known is Address.");
        }

        if (section["Address"] is not { Length: > 0 } given)
        {
            return null;
        }

        return Uri.TryCreate(given, UriKind.Absolute, out var address) && address.Scheme is "http" or "https"
            ? address
            : throw new ConfigurationException($"{section.Path}:Address", $"is '{given}', which is no URL of a host.");
    }

    private static ScoringOptions ReadScoring(IConfigurationSection section)
    {
        var options = new ScoringOptions();
        try
        {
            section.Bind(options, binder => binder.ErrorOnUnknownConfiguration = true);
            options.Validate();
        }
        catch (InvalidOperationException e)
        {
            throw new ConfigurationException(section.Path, $"cannot be read. {e.Message}");
        }
        catch (ArgumentException e)
        {
            throw new ConfigurationException($"{Section}:{e.ParamName}", $"is not possible. {e.Message}");
        }

        return options;
    }
}
