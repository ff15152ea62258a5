using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Onnx;

/// <summary>An input or output of a graph as docs/bundle-format.md section 2 asks for it.</summary>
/// <param name="Name">Its name in the graph.</param>
/// <param name="IsInteger">64-bit integers; else 32-bit floats.</param>
/// <param name="Shape">Axes; <see cref="GraphContract.Batch"/>, <see cref="GraphContract.Candidates"/> and <see cref="GraphContract.Rankings"/> stand for those that a call decides.</param>
internal sealed record TensorContract(string Name, bool IsInteger, params long[] Shape)
{
    public string ShapeText => "[" + string.Join(", ", Shape.Select(axis => axis switch
    {
        GraphContract.Batch => "B",
        GraphContract.Candidates => "N",
        GraphContract.Rankings => "1 or B",
        _ => axis.ToString(System.Globalization.CultureInfo.InvariantCulture),
    })) + "]";
}

/// <summary>What a graph must read and give, by the manifest of its bundle. The order is the one in which callers bind.</summary>
internal sealed record GraphContract(string Name, string File, IReadOnlyList<TensorContract> Inputs, IReadOnlyList<TensorContract> Outputs)
{
    /// <summary>The axis B.</summary>
    public const long Batch = -1;

    /// <summary>The axis N.</summary>
    public const long Candidates = -2;

    /// <summary>The ranker's first axis: 1, or open, and then several rankings may run as one.</summary>
    public const long Rankings = -3;

    public static GraphContract ItemEncoder(Manifest manifest)
    {
        var items = manifest.ItemInputs;
        var inputs = new List<TensorContract>();
        if (items.Text is { } text)
        {
            inputs.Add(new("text", true, Batch, text.Length));
        }

        if (items.Categories is { } categories)
        {
            inputs.Add(new("categories", true, Batch, categories.Length));
        }

        if (items.Attributes is { Count: > 0 } attributes)
        {
            inputs.Add(new("attributes", true, Batch, attributes.Count));
        }

        if (items.Image is { } image)
        {
            inputs.Add(new("image", false, Batch, 3, image.Height, image.Width));
        }

        if (items.ImageFeatures is { } features)
        {
            inputs.Add(new("image_features", false, Batch, features.Length));
        }

        if (items.HasMask)
        {
            inputs.Add(new("image_mask", false, Batch, 1));
        }

        return new("item_encoder", BundleFiles.ItemEncoder, inputs, [new("representation", false, Batch, manifest.Dims.Representation)]);
    }

    public static GraphContract UserEncoder(Manifest manifest)
    {
        var dims = manifest.Dims;
        var inputs = new List<TensorContract> { new("user_embedding", false, Batch, dims.UserId) };
        if (dims.Profile > 0)
        {
            inputs.Add(new("profile", true, Batch, dims.Profile));
        }

        if (dims.UserStatistics > 0)
        {
            inputs.Add(new("user_statistics", false, Batch, dims.UserStatistics));
        }

        inputs.Add(new("history", false, Batch, dims.History, dims.ItemId + dims.Representation));
        inputs.Add(new("history_actions", true, Batch, dims.History));
        inputs.Add(new("history_intervals", false, Batch, dims.History));
        inputs.Add(new("history_mask", false, Batch, dims.History));
        return new(
            "user_encoder",
            BundleFiles.UserEncoder,
            inputs,
            [new("user_state", false, Batch, dims.UserState), new("history_state", false, Batch, dims.History, dims.HistoryState)]);
    }

    public static GraphContract Ranker(Manifest manifest)
    {
        var dims = manifest.Dims;
        var inputs = new List<TensorContract>
        {
            new("user_state", false, Rankings, dims.UserState),
            new("history_state", false, Rankings, dims.History, dims.HistoryState),
            new("item", false, Rankings, Candidates, dims.Row),
        };
        if (dims.Context > 0)
        {
            inputs.Add(new("context", false, Rankings, dims.Context));
        }

        return new("ranker", BundleFiles.Ranker, inputs, [new("score", false, Rankings, Candidates)]);
    }
}
