using RecBackend.Core.Models;

namespace RecBackend.Scoring.Bundles;

/// <summary>What the ranking path reads of a manifest.</summary>
internal static class ManifestLayout
{
    public static ModelLayout ToLayout(this Manifest manifest) => new()
    {
        Version = manifest.Version,
        Recipe = manifest.Recipe,
        ItemId = manifest.Dims.ItemId,
        Representation = manifest.Dims.Representation,
        UserId = manifest.Dims.UserId,
        History = manifest.Dims.History,
        UserState = manifest.Dims.UserState,
        HistoryState = manifest.Dims.HistoryState,
        Statistics = manifest.Statistics.ConvertAll(StatisticNames.ToField),
        UserStatistics = manifest.UserStatistics.ConvertAll(StatisticNames.ToField),
        Profile = manifest.Profile.ConvertAll(field => new VocabularyField(field.Name, field.Vocabulary)),
        Actions = manifest.Actions,
        Context = manifest.Context.ConvertAll(field => field.Name),
        FallbackPrior = manifest.Fallback.Prior,
        FallbackStrength = manifest.Fallback.Strength,
    };

    public static BundleSummary ToSummary(this Manifest manifest, long bytes) => new(
        manifest.Version,
        manifest.Recipe,
        manifest.Created,
        bytes,
        (manifest.Metrics ?? []).ToDictionary(split => split.Key, split => (IReadOnlyDictionary<string, double>)split.Value));
}
