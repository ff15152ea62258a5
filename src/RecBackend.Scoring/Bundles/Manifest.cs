using System.Text.Json.Serialization;

namespace RecBackend.Scoring.Bundles;

/// <summary>manifest.json of a bundle, as docs/bundle-format.md section 1 writes it. What <see cref="ManifestReader"/> returns keeps every rule of that section.</summary>
internal sealed record Manifest
{
    public const int SupportedFormat = 1;

    public required int Format { get; init; }

    public required string Version { get; init; }

    public required string Recipe { get; init; }

    public required DateTimeOffset Created { get; init; }

    public required ManifestDims Dims { get; init; }

    /// <summary>File name → sha256, lower-case hex.</summary>
    public required Dictionary<string, string> Files { get; init; }

    public required ManifestItemInputs ItemInputs { get; init; }

    public required List<ManifestStatistic> Statistics { get; init; }

    public required List<ManifestStatistic> UserStatistics { get; init; }

    public required List<ManifestVocabulary> Profile { get; init; }

    public required List<string> Actions { get; init; }

    public required List<ManifestContext> Context { get; init; }

    public required ManifestFallback Fallback { get; init; }

    /// <summary>Split → metric → value.</summary>
    public Dictionary<string, Dictionary<string, double>>? Metrics { get; init; }
}

internal sealed record ManifestDims
{
    public required int ItemId { get; init; }

    public required int Representation { get; init; }

    public required int Statistics { get; init; }

    public required int Row { get; init; }

    public required int UserId { get; init; }

    public required int UserStatistics { get; init; }

    public required int Profile { get; init; }

    public required int Context { get; init; }

    public required int History { get; init; }

    public required int UserState { get; init; }

    public required int HistoryState { get; init; }
}

/// <summary>What the item encoder reads. A null part is one that it does not read.</summary>
internal sealed record ManifestItemInputs
{
    public ManifestText? Text { get; init; }

    public ManifestCategories? Categories { get; init; }

    public List<ManifestVocabulary>? Attributes { get; init; }

    public ManifestImage? Image { get; init; }

    public ManifestImageFeatures? ImageFeatures { get; init; }

    /// <summary>Whether the graph has an <c>image_mask</c>.</summary>
    [JsonIgnore]
    public bool HasMask => Image is not null || ImageFeatures is not null;
}

internal sealed record ManifestText(int Length, string Tokenizer);

internal sealed record ManifestCategories(int Length, List<string> Vocabulary);

internal sealed record ManifestVocabulary(string Name, List<string> Vocabulary);

internal sealed record ManifestImage(int Height, int Width, List<double> Mean, List<double> Std);

internal sealed record ManifestImageFeatures(int Length);

internal sealed record ManifestStatistic
{
    public required string Name { get; init; }

    public double? Prior { get; init; }

    public double? Strength { get; init; }
}

internal sealed record ManifestContext(string Name);

internal sealed record ManifestFallback(double Prior, double Strength);

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    AllowDuplicateProperties = false)]
[JsonSerializable(typeof(Manifest))]
internal sealed partial class ManifestJson : JsonSerializerContext;
