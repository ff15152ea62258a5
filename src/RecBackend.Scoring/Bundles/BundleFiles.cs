namespace RecBackend.Scoring.Bundles;

/// <summary>Names of a bundle's files.</summary>
internal static class BundleFiles
{
    public const string ItemEncoder = "item_encoder.onnx";
    public const string UserEncoder = "user_encoder.onnx";
    public const string Ranker = "ranker.onnx";
    public const string Items = "items.safetensors";
    public const string Users = "users.safetensors";
    public const string Golden = "golden.safetensors";
    public const string Tokenizer = "tokenizer.json";

    private const int MaxNameLength = 128;

    /// <summary>Whether <paramref name="name"/> is a plain name: no folder, no way out of one, on any operating system.</summary>
    public static bool IsName(string name) =>
        name is { Length: > 0 and <= MaxNameLength }
        && name is not ("." or "..")
        && !name.AsSpan().ContainsAny("/\\:\0")
        && !name.AsSpan().ContainsAnyInRange('\u0000', '\u001F');
}
