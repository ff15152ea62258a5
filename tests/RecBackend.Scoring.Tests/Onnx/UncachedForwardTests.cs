using Microsoft.ML.OnnxRuntime;
using RecBackend.Core.Models;
using RecBackend.Scoring.Bundles;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Tests.Onnx;

/// <summary>What the three graphs compute through caches is what the one graph of content in, score out computes.</summary>
public sealed class UncachedForwardTests(ModelFixture fixture) : IClassFixture<ModelFixture>, IDisposable
{
    private readonly SafeTensors _example = SafeTensors.Open(Golden.Path("tiny-bundle", "uncached.safetensors"));
    private readonly IModel _model = fixture.Model;

    public void Dispose() => _example.Dispose();

    [Fact]
    public async Task Cached_graphs_score_as_the_uncached_one()
    {
        var layout = _model.Layout;
        var expected = RunUncached();
        var count = expected.Length;
        AssertClose(TestTensor.Floats(_example, "score"), expected);

        var user = await _model.EncodeUserAsync(User(), 1, default);
        var representations = Encode("candidate_content_", count);
        var rows = ModelFixture.Pinned(count * layout.Row, _ => 0);
        for (var i = 0; i < count; i++)
        {
            float[] row = [.. Part("candidate_embedding", i, layout.ItemId), .. Part(representations, i, layout.Representation), .. Part("candidate_statistics", i, layout.Statistics.Count)];
            row.CopyTo(rows, i * layout.Row);
        }

        var scores = ModelFixture.Pinned(count, _ => 0);
        await _model.ScoreAsync(user, rows, count, ModelFixture.Pinned(layout.Context.Count, i => TestTensor.Floats(_example, "context")[i]), scores, Deadline.None, default);

        AssertClose(expected, scores);
    }

    private UserFeatures User()
    {
        var layout = _model.Layout;
        var features = new UserFeatures(layout);
        TestTensor.Floats(_example, "user_embedding").CopyTo(features.UserEmbedding, 0);
        TestTensor.Integers(_example, "profile").CopyTo(features.Profile, 0);
        TestTensor.Floats(_example, "user_statistics").CopyTo(features.UserStatistics, 0);
        TestTensor.Integers(_example, "history_actions").CopyTo(features.Actions, 0);
        TestTensor.Floats(_example, "history_intervals").CopyTo(features.Intervals, 0);
        TestTensor.Floats(_example, "history_mask").CopyTo(features.Mask, 0);
        var representations = Encode("history_content_", layout.History);
        for (var i = 0; i < layout.History; i++)
        {
            float[] entry = [.. Part("history_embedding", i, layout.ItemId), .. Part(representations, i, layout.Representation)];
            if (features.Mask[i] != 0)
            {
                entry.CopyTo(features.History, i * entry.Length);
            }
        }

        return features;
    }

    /// <summary>Runs the item encoder on the tensors of the example whose names begin with <paramref name="prefix"/>.</summary>
    private unsafe float[] Encode(string prefix, int count)
    {
        using var runtime = TestRuntime.Create();
        var manifest = BundleLoader.ReadManifest(Golden.Path("tiny-bundle"));
        using var graph = Graph.Load(Golden.Path("tiny-bundle"), GraphContract.ItemEncoder(manifest), runtime);
        var representations = ModelFixture.Pinned(count * manifest.Dims.Representation, _ => 0);
        var kept = new List<Array>();
        var run = graph.Rent(count);
        for (var place = 0; place < graph.Contract.Inputs.Count; place++)
        {
            var input = graph.Contract.Inputs[place];
            var entry = _example.Tensors[prefix + input.Name];
            if (input.IsInteger)
            {
                var values = _example.ReadIntegers(entry, pinned: true);
                kept.Add(values);
                fixed (long* pinned = values)
                {
                    run.Input(place, pinned, values.Length);
                }
            }
            else
            {
                var values = _example.ReadFloats(entry, pinned: true);
                kept.Add(values);
                fixed (float* pinned = values)
                {
                    run.Input(place, pinned, values.Length);
                }
            }
        }

        fixed (float* pinned = representations)
        {
            run.Output(0, pinned, representations.Length);
            graph.Run(run);
        }

        graph.Return(run);
        GC.KeepAlive(kept);
        return representations;
    }

    private float[] RunUncached()
    {
        using var session = new InferenceSession(Golden.Path("tiny-bundle", "uncached.onnx"));
        var inputs = session.InputNames.ToDictionary(name => name, name =>
        {
            var entry = _example.Tensors[name];
            return entry.Type == TensorType.I64
                ? OrtValue.CreateTensorValueFromMemory(_example.ReadIntegers(entry), [.. entry.Shape])
                : OrtValue.CreateTensorValueFromMemory(_example.ReadFloats(entry), [.. entry.Shape]);
        });
        using var options = new RunOptions();
        using var outputs = session.Run(options, inputs, session.OutputNames);
        var scores = outputs[0].GetTensorDataAsSpan<float>().ToArray();
        foreach (var input in inputs.Values)
        {
            input.Dispose();
        }

        return scores;
    }

    private float[] Part(string tensor, int row, int width) => Part(TestTensor.Floats(_example, tensor), row, width);

    private static float[] Part(float[] values, int row, int width) => values[(row * width)..((row + 1) * width)];

    private static void AssertClose(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.All(expected.Zip(actual), pair => Assert.InRange(Math.Abs(pair.First - pair.Second), 0, 1e-4f));
    }
}
