using System.Buffers;
using System.Text.Json;
using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Scoring.Bundles;

/// <summary>Parses manifest.json and checks it against every rule of docs/bundle-format.md, section 1.</summary>
internal static class ManifestReader
{
    /// <summary>Name of the file.</summary>
    public const string FileName = "manifest.json";

    /// <summary>The largest manifest that is read, in bytes: vocabularies of some million values.</summary>
    public const long MaxBytes = 64 << 20;

    private const int MaxVersionLength = 64;

    /// <summary>No axis is longer. Keeps products of dims far from overflow; a model near it would not be served in milliseconds anyway.</summary>
    private const int MaxDim = 65_536;

    private const int MaxImageSide = 1024;

    private static readonly string[] AlwaysThere =
        [BundleFiles.ItemEncoder, BundleFiles.UserEncoder, BundleFiles.Ranker, BundleFiles.Items, BundleFiles.Users, BundleFiles.Golden];

    private static readonly SearchValues<char> VersionCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    private static readonly SearchValues<char> LowerHex = SearchValues.Create("0123456789abcdef");

    /// <summary>Parses and checks a manifest.</summary>
    /// <exception cref="BundleRefusedException"><c>bundle_format_unsupported</c>, <c>bundle_manifest_invalid</c> with the key's name, or <c>bundle_missing_file</c>.</exception>
    public static Manifest Read(ReadOnlySpan<byte> utf8)
    {
        var manifest = Parse(utf8);
        CheckNames(manifest);
        CheckDims(manifest);
        CheckFiles(manifest);
        CheckItemInputs(manifest.ItemInputs, manifest.Files);
        CheckStatistics("statistics", manifest.Statistics, ofItems: true);
        CheckStatistics("user_statistics", manifest.UserStatistics, ofItems: false);
        CheckVocabularies("profile", manifest.Profile);
        CheckDistinct("actions", manifest.Actions);
        CheckDistinct("context", manifest.Context.Select(field => field?.Name));
        CheckSmoothing("fallback", manifest.Fallback.Prior, manifest.Fallback.Strength);
        return manifest;
    }

    /// <summary>Whether <paramref name="version"/> may be a bundle's version; such a one is also safe as a folder's name.</summary>
    public static bool IsVersion(string? version) =>
        version is { Length: > 0 and <= MaxVersionLength }
        && char.IsAsciiLetterOrDigit(version[0])
        && !version.AsSpan().ContainsAnyExcept(VersionCharacters);

    private static Manifest Parse(ReadOnlySpan<byte> utf8)
    {
        try
        {
            // Before anything else: another format may have other keys, and the reason is the format then.
            CheckFormat(utf8);
            return JsonSerializer.Deserialize(utf8, ManifestJson.Default.Manifest)
                ?? throw BundleRefusal.ManifestInvalid("the document", "is null");
        }
        catch (JsonException exception)
        {
            throw BundleRefusal.ManifestInvalid(exception.Path is null or "$" ? "the document" : exception.Path, $"cannot be read: {exception.Message}", exception);
        }
    }

    private static void CheckFormat(ReadOnlySpan<byte> utf8)
    {
        var reader = new Utf8JsonReader(utf8);
        using var document = JsonDocument.ParseValue(ref reader);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            throw BundleRefusal.ManifestInvalid("the document", "is not an object");
        }

        if (!document.RootElement.TryGetProperty("format", out var format))
        {
            throw BundleRefusal.ManifestInvalid("format", "is missing");
        }

        if (format.ValueKind != JsonValueKind.Number)
        {
            throw BundleRefusal.ManifestInvalid("format", "is not a number");
        }

        if (!format.TryGetInt32(out var number) || number != Manifest.SupportedFormat)
        {
            throw BundleRefusal.FormatUnsupported(format.GetRawText());
        }
    }

    private static void CheckNames(Manifest manifest)
    {
        Require(IsVersion(manifest.Version), "version", "must match [A-Za-z0-9][A-Za-z0-9._-]{0,63}");
        Require(!string.IsNullOrWhiteSpace(manifest.Recipe), "recipe", "is empty");
    }

    private static void CheckDims(Manifest manifest)
    {
        var dims = manifest.Dims;
        InRange("dims.item_id", dims.ItemId, 1, MaxDim);
        InRange("dims.representation", dims.Representation, 1, MaxDim);
        InRange("dims.user_id", dims.UserId, 1, MaxDim);
        InRange("dims.history", dims.History, 1, UserSnapshot.MaxHistory);
        InRange("dims.user_state", dims.UserState, 1, MaxDim);
        InRange("dims.history_state", dims.HistoryState, 1, MaxDim);
        LengthOf("dims.statistics", dims.Statistics, "statistics", manifest.Statistics.Count);
        LengthOf("dims.user_statistics", dims.UserStatistics, "user_statistics", manifest.UserStatistics.Count);
        LengthOf("dims.profile", dims.Profile, "profile", manifest.Profile.Count);
        LengthOf("dims.context", dims.Context, "context", manifest.Context.Count);
        Require(
            dims.Row == dims.ItemId + dims.Representation + dims.Statistics,
            "dims.row",
            $"is {dims.Row}, but item_id + representation + statistics is {dims.ItemId + dims.Representation + dims.Statistics}");
        Require(manifest.Actions.Count > 0, "actions", "is empty: nothing could enter a history");
        Require(!manifest.Actions.Contains(InteractionEvent.Impression), "actions", "holds \"impression\", which is never a click");
    }

    private static void CheckItemInputs(ManifestItemInputs inputs, Dictionary<string, string> files)
    {
        Require(
            inputs is not { Text: null, Categories: null, Attributes: null or [], Image: null, ImageFeatures: null },
            "item_inputs",
            "names no input: a representation must come from some content");
        if (inputs.Text is { } text)
        {
            InRange("item_inputs.text.length", text.Length, 1, MaxDim);
            Require(
                text.Tokenizer == BundleFiles.Tokenizer,
                "item_inputs.text.tokenizer",
                $"must be \"{BundleFiles.Tokenizer}\"");
            if (!files.ContainsKey(text.Tokenizer))
            {
                throw BundleRefusal.MissingFile(text.Tokenizer);
            }
        }

        if (inputs.Categories is { } categories)
        {
            InRange("item_inputs.categories.length", categories.Length, 1, MaxDim);
            CheckDistinct("item_inputs.categories.vocabulary", categories.Vocabulary, emptyAllowed: true);
        }

        CheckVocabularies("item_inputs.attributes", inputs.Attributes ?? []);
        if (inputs.Image is { } image)
        {
            InRange("item_inputs.image.height", image.Height, 1, MaxImageSide);
            InRange("item_inputs.image.width", image.Width, 1, MaxImageSide);
            Require(image.Mean.Count == 3 && image.Mean.TrueForAll(double.IsFinite), "item_inputs.image.mean", "must hold three numbers");
            Require(image.Std.Count == 3 && image.Std.TrueForAll(value => value > 0), "item_inputs.image.std", "must hold three numbers above 0");
        }

        if (inputs.ImageFeatures is { } features)
        {
            InRange("item_inputs.image_features.length", features.Length, 1, MaxDim);
        }
    }

    private static void CheckFiles(Manifest manifest)
    {
        foreach (var file in AlwaysThere)
        {
            if (!manifest.Files.ContainsKey(file))
            {
                throw BundleRefusal.MissingFile(file);
            }
        }

        foreach (var (file, hash) in manifest.Files)
        {
            Require(BundleFiles.IsName(file) && file != FileName, $"files.{file}", "is not the name of a file beside the manifest");
            Require(hash is { Length: 64 } && !hash.AsSpan().ContainsAnyExcept(LowerHex), $"files.{file}", "is not a sha256 in lower-case hex");
        }
    }

    private static void CheckStatistics(string key, List<ManifestStatistic> statistics, bool ofItems)
    {
        for (var i = 0; i < statistics.Count; i++)
        {
            var statistic = statistics[i] ?? throw BundleRefusal.ManifestInvalid($"{key}[{i}]", "is null");
            var kind = StatisticNames.Parse(statistic.Name);
            Require(kind is not null && (ofItems || kind != StatisticKind.Age), $"{key}[{i}].name", $"\"{statistic.Name}\" is no statistic of {(ofItems ? "an item" : "a user")}");
            if (kind == StatisticKind.ClickRate)
            {
                Require(statistic is { Prior: not null, Strength: not null }, $"{key}[{i}]", "lacks prior or strength");
                CheckSmoothing($"{key}[{i}]", statistic.Prior!.Value, statistic.Strength!.Value);
            }
        }
    }

    private static void CheckSmoothing(string key, double prior, double strength)
    {
        Require(prior is >= 0 and <= 1, $"{key}.prior", "must lie in 0 to 1");

        // Strength 0 would make the rate of an item without impressions 0 / 0.
        Require(strength > 0 && double.IsFinite(strength), $"{key}.strength", "must be above 0");
    }

    private static void CheckVocabularies(string key, List<ManifestVocabulary> fields)
    {
        CheckDistinct(key, fields.Select(field => field?.Name));
        foreach (var field in fields)
        {
            CheckDistinct($"{key}.{field.Name}.vocabulary", field.Vocabulary, emptyAllowed: true);
        }
    }

    private static void CheckDistinct(string key, IEnumerable<string?> values, bool emptyAllowed = false)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var value in values)
        {
            Require(value is not null && (emptyAllowed || value.Length > 0), key, "holds a null or an empty name");
            Require(seen.Add(value!), key, $"holds \"{value}\" twice");
        }
    }

    private static void LengthOf(string key, int dim, string list, int length) =>
        Require(dim == length, key, $"is {dim}, but {list} has {length} entries");

    private static void InRange(string key, int value, int least, int most) =>
        Require(value >= least && value <= most, key, $"is {value}; it must lie in {least} to {most}");

    private static void Require(bool holds, string key, string problem)
    {
        if (!holds)
        {
            throw BundleRefusal.ManifestInvalid(key, problem);
        }
    }
}
