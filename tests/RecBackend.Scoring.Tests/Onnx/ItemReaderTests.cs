using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Scoring.Bundles;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Tests.Onnx;

public class ItemReaderTests
{
    [Fact]
    public async Task Pictures_are_checked_only_as_many_at_a_time_as_the_gate_admits()
    {
        using var metrics = new ScoringMetrics();
        var gate = new AdmissionGate("encode", concurrency: 1, queueLength: int.MaxValue, TimeProvider.System, metrics);
        var reader = new ItemReader(new ManifestItemInputs { Image = new ManifestImage(4, 4, [0, 0, 0], [1, 1, 1]) }, tokenizer: null, maxImagePixels: 1_000_000);
        var picture = new ItemContent { Image = "no picture at all"u8.ToArray() };
        await gate.EnterAsync(Deadline.None, default);

        var checks = Enumerable.Range(0, 3).Select(_ => reader.CheckAsync(picture, gate, default).AsTask()).ToArray();
        Assert.DoesNotContain(checks, check => check.IsCompleted);
        Assert.Equal(3, gate.Waiting);
        Assert.Null(await reader.CheckAsync(new ItemContent { Title = "words wait for nobody" }, gate, default));

        gate.Leave();
        Assert.All(await Task.WhenAll(checks), problem => Assert.Equal("image_invalid", problem?.Code));
        Assert.Equal(1, gate.Free);
    }
}
