using Microsoft.Extensions.Configuration;
using RecBackend.Core.Catalog;
using RecBackend.Core.Models;
using RecBackend.Http.Configuration;
using RecBackend.Scoring;

namespace RecBackend.Hosting;

/// <summary>What every host reads of the section <c>RecBackend</c>, but for <c>Keys</c>, <c>Limits</c> and <c>DrainSeconds</c>, which the endpoints read.</summary>
public sealed record ServingOptions
{
    /// <summary>The section.</summary>
    public const string Section = "RecBackend";

    private static readonly string[] SharedKeys = ["State", "Development", "Keys", "Limits", "DrainSeconds", "Scoring", "Catalog"];

    /// <summary>Folder of everything that the host keeps on its own disk.</summary>
    public required string State { get; init; }

    /// <summary>Whether no keys are needed while the host listens on loopback only.</summary>
    public bool Development { get; init; }

    /// <summary>Form of the catalogue's rows.</summary>
    public RowPrecision Precision { get; init; }

    /// <summary>How models run.</summary>
    public required ScoringOptions Scoring { get; init; }

    /// <summary>Reads and checks the section.</summary>
    /// <param name="configuration">The host's configuration.</param>
    /// <param name="stateMeaning">What the state folder is for, should it be missing.</param>
    /// <param name="ownKeys">Keys of the section that the host reads itself.</param>
    /// <exception cref="ConfigurationException">Names the key that is wrong.</exception>
    public static ServingOptions Read(IConfiguration configuration, string stateMeaning, params IReadOnlyList<string> ownKeys)
    {
        var section = configuration.GetSection(Section);
        section.RefuseOthers([.. SharedKeys, .. ownKeys]);
        return new ServingOptions
        {
            State = Path.GetFullPath(section.Require("State", stateMeaning)),
            Development = section.Read("Development", false),
            Precision = section.Read("Catalog:Precision", new ModelDirectoryOptions().Precision),
            Scoring = ReadScoring(section.GetSection("Scoring")),
        };
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
