using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Scoring.Bundles;

namespace RecBackend.Scoring.Tests.Onnx;

/// <summary>The tiny bundle, loaded once, and inputs for it.</summary>
public sealed class ModelFixture : IAsyncLifetime
{
    private readonly TemporaryFolder _state = new();
    private ScoringRuntime? _runtime;

    public IModel Model { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        // More at once than there are processors: what runs side by side must not mix on any machine.
        _runtime = TestRuntime.Create(new ScoringOptions { MaxConcurrency = 4, QueueLength = 1000, EncodingBatch = 8 });
        Model = await TestRuntime.LoadAsync(_runtime, Golden.Path(Golden.TinyBundle), _state.Path);
    }

    public async Task DisposeAsync()
    {
        await Model.DisposeAsync();
        _runtime?.Dispose();
        _state.Dispose();
    }

    /// <summary>The inputs of one golden user of a bundle, with the encoding that training computed.</summary>
    internal static (UserFeatures Features, float[] UserState, float[] HistoryState) GoldenUser(ModelLayout layout, int user, string bundle = Golden.TinyBundle)
    {
        using var golden = SafeTensors.Open(Golden.Path(bundle, "golden.safetensors"));
        var features = new UserFeatures(layout);
        Take(TestTensor.Floats(golden, "user_encoder/user_embedding"), user, features.UserEmbedding);
        Take(TestTensor.Integers(golden, "user_encoder/profile"), user, features.Profile);
        Take(TestTensor.Floats(golden, "user_encoder/user_statistics"), user, features.UserStatistics);
        Take(TestTensor.Floats(golden, "user_encoder/history"), user, features.History);
        Take(TestTensor.Integers(golden, "user_encoder/history_actions"), user, features.Actions);
        Take(TestTensor.Floats(golden, "user_encoder/history_intervals"), user, features.Intervals);
        Take(TestTensor.Floats(golden, "user_encoder/history_mask"), user, features.Mask);
        var (userState, historyState) = (new float[layout.UserState], new float[layout.History * layout.HistoryState]);
        Take(TestTensor.Floats(golden, "user_encoder/user_state"), user, userState);
        Take(TestTensor.Floats(golden, "user_encoder/history_state"), user, historyState);
        return (features, userState, historyState);
    }

    internal static float[] Pinned(int length, Func<int, float> value)
    {
        var values = GC.AllocateArray<float>(length, pinned: true);
        for (var i = 0; i < length; i++)
        {
            values[i] = value(i);
        }

        return values;
    }

    internal static async Task<float[]> ScoreAsync(IModel model, UserEncoding user, float[] rows, int count, float[] context)
    {
        var scores = Pinned(count, _ => float.NaN);
        await model.ScoreAsync(user, rows, count, context, scores, Deadline.None, default);
        return scores;
    }

    /// <summary>Contents of every kind: with and without text, categories, attributes, picture and features of it.</summary>
    internal static List<ItemContent> Contents(int count, int seed)
    {
        var random = new Random(seed);
        byte[][] pictures = [.. new[] { "rgb-444.jpg", "rgba.png" }.Select(file => File.ReadAllBytes(Golden.Path("images", file)))];
        return [.. Enumerable.Range(0, count).Select(i => new ItemContent
        {
            Title = i % 5 == 0 ? null : $"Title {i} of a film",
            Text = i % 3 == 0 ? null : "A stranger comes to town. " + new string('x', i),
            Tags = i % 4 == 0 ? [] : ["slow", "日本"],
            Categories = i % 2 == 0 ? ["Drama", "Unknown", "Comedy", "Action"] : [],
            Attributes = i % 7 == 0 ? new Dictionary<string, string>() : new Dictionary<string, string> { ["year"] = "1994", ["country"] = "XX" },
            Image = i % 3 == 1 ? pictures[i % 2] : null,
            ImageFeatures = i % 3 == 1 ? [.. Enumerable.Range(0, 8).Select(_ => random.NextSingle())] : null,
        })];
    }

    private static void Take<T>(T[] all, int row, T[] destination) => all.AsSpan(row * destination.Length, destination.Length).CopyTo(destination);
}
