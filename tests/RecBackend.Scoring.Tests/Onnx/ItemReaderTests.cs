using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Scoring.Bundles;
using RecBackend.Scoring.Images;
using RecBackend.Scoring.Onnx;

namespace RecBackend.Scoring.Tests.Onnx;

public class ItemReaderTests
{
    [Fact]
    public async Task Pictures_are_checked_only_as_many_at_a_time_as_the_gate_admits()
    {
        using var metrics = new ScoringMetrics();
        var gate = new AdmissionGate("encode", concurrency: 1, queueLength: int.MaxValue, TimeProvider.System, metrics);
        var reader = Reader();
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

    [Fact]
    public async Task Picture_is_decoded_once_for_its_check_and_its_encoding()
    {
        using var metrics = new ScoringMetrics();
        var gate = new AdmissionGate("decode", concurrency: 1, queueLength: int.MaxValue, TimeProvider.System, metrics);
        var reader = Reader();
        var file = await File.ReadAllBytesAsync(Golden.Path("images", "rgba.png"));
        var (whole, damaged) = (new float[reader.ImageLength], new float[reader.ImageLength]);
        Assert.True(reader.ReadImage(new ItemContent { Image = [.. file] }, whole));

        var content = new ItemContent { Image = file };
        Assert.Null(await reader.CheckAsync(content, gate, default));
        Array.Clear(file); // what is read from here on was decoded before
        Assert.True(reader.ReadImage(content, damaged));

        Assert.Equal(whole, damaged);
        Assert.Throws<ImageInvalidException>(() => reader.ReadImage(content, damaged));
    }

    [Fact]
    public async Task Item_of_words_alone_does_not_wait_for_the_pictures_of_others()
    {
        using var state = new TemporaryFolder();
        using var runtime = TestRuntime.Create(new ScoringOptions { EncodingConcurrency = 1 });
        await using var words = await TestRuntime.LoadAsync(runtime, Golden.Path("tiny-bundle"), state.Path);
        var pictures = new OnnxModel(words.Layout, runtime, null!, null!, null!, null!, null!, Reader());
        var file = await File.ReadAllBytesAsync(Golden.Path("images", "rgba.png"));
        await runtime.DecodeGate.EnterAsync(Deadline.None, default);
        var checks = Enumerable.Range(0, 3).Select(_ => pictures.CheckAsync(new ItemContent { Image = file }, default).AsTask()).ToArray();
        Assert.DoesNotContain(checks, check => check.IsCompleted);

        var item = new ItemContent { Title = "words" };
        Assert.Null(await words.CheckAsync(item, default));
        await words.EncodeItemsAsync([item], new float[words.Layout.Representation], EncodingUrgency.Warm, default);

        runtime.DecodeGate.Leave();
        Assert.All(await Task.WhenAll(checks), Assert.Null);
    }

    private static ItemReader Reader() =>
        new(new ManifestItemInputs { Image = new ManifestImage(4, 4, [0, 0, 0], [1, 1, 1]) }, tokenizer: null, maxImagePixels: 1_000_000);
}
