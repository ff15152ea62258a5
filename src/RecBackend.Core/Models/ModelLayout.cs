using System.Collections.Frozen;

namespace RecBackend.Core.Models;

/// <summary>What the ranking path must know of a bundle: sizes, and which feature stands where. See docs/bundle-format.md, section 1.</summary>
public sealed record ModelLayout
{
    /// <summary>The bundle's version.</summary>
    public required string Version { get; init; }

    /// <summary>The recipe that trained it; for people, never for code.</summary>
    public required string Recipe { get; init; }

    /// <summary>Floats of an item's ID embedding.</summary>
    public required int ItemId { get; init; }

    /// <summary>Floats of an item's representation.</summary>
    public required int Representation { get; init; }

    /// <summary>Floats of a user's ID embedding.</summary>
    public required int UserId { get; init; }

    /// <summary>L: how many history entries the user encoder reads.</summary>
    public required int History { get; init; }

    /// <summary>S: floats of <c>user_state</c>.</summary>
    public required int UserState { get; init; }

    /// <summary>H: floats of one entry of <c>history_state</c>.</summary>
    public required int HistoryState { get; init; }

    /// <summary>The item statistics at the end of a row, in order.</summary>
    public IReadOnlyList<StatisticField> Statistics { get; init; } = [];

    /// <summary>The user statistics, in order.</summary>
    public IReadOnlyList<StatisticField> UserStatistics { get; init; } = [];

    /// <summary>The user attributes that the user encoder reads, in order.</summary>
    public IReadOnlyList<VocabularyField> Profile { get; init; } = [];

    /// <summary>Event types that enter a history and count as a click; place + 1 is their ID.</summary>
    public IReadOnlyList<string> Actions { get; init; } = [];

    /// <summary>Names of the context fields, in order.</summary>
    public IReadOnlyList<string> Context { get; init; } = [];

    /// <summary>Prior click rate of the fallback ranking.</summary>
    public double FallbackPrior { get; init; }

    /// <summary>Weight of that prior, in impressions.</summary>
    public double FallbackStrength { get; init; }

    /// <summary>Floats of a row: ID embedding, representation, statistics.</summary>
    public int Row => ItemId + Representation + Statistics.Count;
}

/// <summary>Which number of an entity's counters a feature is; formulas in docs/bundle-format.md, section 5.</summary>
public enum StatisticKind
{
    /// <summary><c>ln(1 + impressions)</c>.</summary>
    Impressions,

    /// <summary>Smoothed click rate.</summary>
    ClickRate,

    /// <summary><c>ln(1 + whole days since the first event)</c>; items only.</summary>
    Age,
}

/// <summary>One statistic.</summary>
/// <param name="Kind">Which.</param>
/// <param name="Prior">Click rate assumed without impressions; only of <see cref="StatisticKind.ClickRate"/>.</param>
/// <param name="Strength">Weight of the prior, in impressions.</param>
public readonly record struct StatisticField(StatisticKind Kind, double Prior = 0, double Strength = 0);

/// <summary>A categorical field: value → place in the vocabulary + 2; absent is 0, a value not in it is 1.</summary>
public sealed class VocabularyField(string name, IReadOnlyList<string> vocabulary)
{
    private readonly FrozenDictionary<string, long> _ids =
        vocabulary.Select((value, place) => (value, place)).ToFrozenDictionary(x => x.value, x => x.place + 2L, StringComparer.Ordinal);

    /// <summary>The attribute's name.</summary>
    public string Name { get; } = name;

    /// <summary>The values that training knew, in order.</summary>
    public IReadOnlyList<string> Vocabulary { get; } = vocabulary;

    /// <summary>The ID of <paramref name="value"/>.</summary>
    public long IdOf(string? value) => value is null ? 0 : _ids.GetValueOrDefault(value, 1);
}
