using System.Text.Json.Serialization;

namespace RecBackend.Cli.Evaluation;

/// <summary>The last line of <c>rec eval --json</c>.</summary>
internal sealed record EvalReport
{
    /// <summary>Rows with a score.</summary>
    public required int Rows { get; init; }

    /// <summary>Area under the ROC curve; null if only one class is there.</summary>
    public required double? Auc { get; init; }

    /// <summary>AUC within users, weighted by rows.</summary>
    public required double? Gauc { get; init; }

    /// <summary>Nats.</summary>
    public required double? Logloss { get; init; }

    /// <summary>Expected calibration error.</summary>
    public required double? Ece { get; init; }

    /// <summary>Requests to rank.</summary>
    public required int Rankings { get; init; }

    /// <summary>Median latency of a ranking over the wire.</summary>
    public required double? LatencyP50Ms { get; init; }

    /// <summary>99th percentile of the same.</summary>
    public required double? LatencyP99Ms { get; init; }

    /// <summary>Rows that the fallback ranked.</summary>
    public required int Fallbacks { get; init; }

    /// <summary>Rows that were not ranked, their item being unknown.</summary>
    public required int Unranked { get; init; }

    /// <summary>Events that the server refused.</summary>
    public required long Rejected { get; init; }

    /// <summary>Versions that answered.</summary>
    public required IReadOnlyCollection<string> Models { get; init; }

    /// <summary>Test metrics of the bundle's manifest, if one was named.</summary>
    public IReadOnlyDictionary<string, double>? Offline { get; init; }

    /// <summary>The value, or null for NaN, which JSON does not have.</summary>
    public static double? Finite(double value) => double.IsFinite(value) ? value : null;
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.Never)]
[JsonSerializable(typeof(EvalReport))]
internal sealed partial class EvalJson : JsonSerializerContext;
