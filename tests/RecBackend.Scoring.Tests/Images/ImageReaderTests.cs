using System.Text.Json;
using RecBackend.Scoring.Bundles;
using RecBackend.Scoring.Images;

namespace RecBackend.Scoring.Tests.Images;

public sealed class ImageReaderTests
{
    private const int MaxPixels = 1_000_000;

    private static readonly JsonElement Index = JsonDocument.Parse(File.ReadAllBytes(Golden.Path("images", "index.json"))).RootElement;

    public static TheoryData<string> Pictures => [.. Index.GetProperty("pictures").EnumerateArray().Select(picture => picture.GetProperty("file").GetString()!)];

    [Theory]
    [MemberData(nameof(Pictures))]
    public void Tensor_is_that_of_training(string file)
    {
        var picture = Index.GetProperty("pictures").EnumerateArray().Single(picture => picture.GetProperty("file").GetString() == file);
        var tolerance = picture.GetProperty("tolerance").GetSingle();
        using var tensors = SafeTensors.Open(Golden.Path("images", Index.GetProperty("expected").GetString()!));
        var expected = TestTensor.Floats(tensors, picture.GetProperty("tensor").GetString()!);
        var reader = ReaderOf(picture.GetProperty("height").GetInt32(), picture.GetProperty("width").GetInt32());

        var actual = new float[reader.Length];
        reader.Read(File.ReadAllBytes(Golden.Path("images", file)), actual);

        Assert.Equal(expected.Length, actual.Length);
        Assert.All(expected.Zip(actual), pair => Assert.InRange(Math.Abs(pair.First - pair.Second), 0, tolerance));
    }

    [Fact]
    public void Jpeg_of_four_inks_is_what_training_sees()
    {
        // 8 x 8 pixels of the inks 40, 100, 200 and black 30; Pillow converts them to this colour.
        double[] expected = [190, 137, 49];
        var reader = new ImageReader(1, 1, [0, 0, 0], [1, 1, 1], MaxPixels);
        var tensor = new float[3];

        reader.Read(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Images", "cmyk.jpg")), tensor);

        Assert.All(expected.Zip(tensor), pair => Assert.Equal(pair.First, pair.Second * 255, 0.01));
    }

    [Theory]
    [InlineData("gAMA", "000186A0")]
    [InlineData("sRGB", "00")]
    [InlineData("iCCP", "7800007800")]
    [InlineData("zTXt", "7800FFFF")]
    public void Colour_and_text_chunks_of_a_png_change_nothing_as_in_training(string type, string content)
    {
        var file = File.ReadAllBytes(Golden.Path("images", "rgb-shrink.png"));
        byte[] body = [.. System.Text.Encoding.ASCII.GetBytes(type), .. Convert.FromHexString(content)];
        byte[] length = [0, 0, 0, (byte)(body.Length - 4)];
        byte[] check = [0, 0, 0, 0];
        const int EndOfHeader = 33;
        byte[] altered = [.. file[..EndOfHeader], .. length, .. body, .. check, .. file[EndOfHeader..]];
        var reader = ReaderOf(8, 8);
        var (expected, actual) = (new float[reader.Length], new float[reader.Length]);

        reader.Read(file, expected);
        reader.Read(altered, actual);

        Assert.Equal(expected, actual);
    }

    [Theory]
    [InlineData("rgb-shrink.png")]
    [InlineData("rgba.png")]
    [InlineData("palette.png")]
    [InlineData("rgb-420.jpg")]
    [InlineData("grey.jpg")]
    public void Damaged_picture_is_refused_or_read_and_never_a_crash(string file)
    {
        const int Seed = 11;
        var original = File.ReadAllBytes(Golden.Path("images", file));
        var random = new Random(Seed);
        var reader = ReaderOf(8, 8);
        var tensor = new float[reader.Length];
        var refused = 0;
        for (var round = 0; round < 2000; round++)
        {
            var damaged = original[..(random.Next(10) == 0 ? random.Next(original.Length) : original.Length)];
            for (var change = random.Next(1, 6); change > 0 && damaged.Length > 0; change--)
            {
                damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            }

            try
            {
                reader.Read(damaged, tensor);
                Assert.All(tensor, value => Assert.True(float.IsFinite(value)));
            }
            catch (ImageInvalidException exception)
            {
                Assert.Equal("image_invalid", exception.Code);
                refused++;
            }
        }

        Assert.InRange(refused, 100, 2000);
    }

    [Theory]
    [InlineData("rgb-shrink.png")]
    [InlineData("rgb-444.jpg")]
    public void Truncated_picture_is_refused(string file)
    {
        var content = File.ReadAllBytes(Golden.Path("images", file));
        var reader = ReaderOf(8, 8);

        Assert.Equal("image_invalid", Refusal(reader, content[..(content.Length * 2 / 3)]).Code);
        Assert.Equal("image_invalid", Refusal(reader, content[..20]).Code);
    }

    [Theory]
    [InlineData("rgb-shrink.png")]
    [InlineData("rgb-444.jpg")]
    public void Picture_of_too_many_pixels_is_refused(string file)
    {
        var reader = new ImageReader(8, 8, [0, 0, 0], [1, 1, 1], maxPixels: 50);

        Assert.Contains("at most 50", Refusal(reader, File.ReadAllBytes(Golden.Path("images", file))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Header_that_claims_a_gigantic_picture_is_refused_before_memory_is_taken()
    {
        var content = File.ReadAllBytes(Golden.Path("images", "rgb-444.jpg"));
        var frame = content.AsSpan().IndexOf(new byte[] { 0xFF, 0xC0, 0x00, 0x11 });
        Assert.True(frame > 0);
        new byte[] { 0xEA, 0x60, 0xEA, 0x60 }.CopyTo(content, frame + 5);

        Assert.Contains("60000 x 60000", Refusal(ReaderOf(8, 8), content).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("GIF89a")]
    [InlineData("<svg/>")]
    public void File_of_another_kind_is_refused(string content) =>
        Assert.Contains("neither a JPEG nor a PNG", Refusal(ReaderOf(8, 8), System.Text.Encoding.ASCII.GetBytes(content)).Message, StringComparison.Ordinal);

    [Fact]
    public void Library_that_is_not_installed_is_named_with_its_package()
    {
        var library = new NativeLibraryReference("JPEG", "libturbojpeg0", "libdoes-not-exist.so.0");

        var refusal = Assert.Throws<ImageInvalidException>(() => library.Export("tjInitDecompress"));

        Assert.Equal("image_unsupported", refusal.Code);
        Assert.Contains("apt-get install libturbojpeg0", refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(10, 3)]
    [InlineData(7, 7)]
    [InlineData(3, 10)]
    [InlineData(1, 5)]
    [InlineData(1000, 999)]
    public void Weights_of_every_output_sum_to_one(int from, int to)
    {
        var taps = Resampling.Taps.Of(from, to);
        for (var i = 0; i < to; i++)
        {
            Assert.Equal(1, taps.Weight[taps.Begin[i]..taps.Begin[i + 1]].Sum(), 12);
            Assert.All(taps.Source[taps.Begin[i]..taps.Begin[i + 1]], source => Assert.InRange(source, 0, from - 1));
        }
    }

    private static ImageInvalidException Refusal(ImageReader reader, byte[] content) =>
        Assert.Throws<ImageInvalidException>(() => reader.Read(content, new float[reader.Length]));

    private static ImageReader ReaderOf(int height, int width) => new(height, width, Numbers("mean"), Numbers("std"), MaxPixels);

    private static double[] Numbers(string key) => [.. Index.GetProperty(key).EnumerateArray().Select(value => value.GetDouble())];
}
