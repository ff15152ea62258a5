using RecBackend.Core.Models;

namespace RecBackend.Scoring.Bundles;

/// <summary>How a manifest names the statistics of docs/bundle-format.md, section 5.</summary>
internal static class StatisticNames
{
    /// <summary>The statistic of that name, or null.</summary>
    public static StatisticKind? Parse(string name) => name switch
    {
        "impressions" => StatisticKind.Impressions,
        "click_rate" => StatisticKind.ClickRate,
        "age" => StatisticKind.Age,
        _ => null,
    };

    /// <summary>A checked statistic as the ranking path reads it.</summary>
    public static StatisticField ToField(ManifestStatistic statistic) =>
        new(Parse(statistic.Name)!.Value, statistic.Prior ?? 0, statistic.Strength ?? 0);
}
