namespace RecBackend.Scoring.Images;

/// <summary>A picture's file to the tensor that an item encoder reads, as docs/bundle-format.md section 4 and training/recbackend/images.py define it. Thread-safe.</summary>
internal sealed class ImageReader
{
    private readonly int _height;
    private readonly int _width;
    private readonly double[] _mean;
    private readonly double[] _std;
    private readonly int _maxPixels;

    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <param name="mean">Of red, green and blue, after the division by 255.</param>
    /// <param name="std">Likewise.</param>
    /// <param name="maxPixels">Pictures of more pixels are refused before their pixels are decoded.</param>
    public ImageReader(int height, int width, IReadOnlyList<double> mean, IReadOnlyList<double> std, int maxPixels)
    {
        _height = height;
        _width = width;
        _mean = [.. mean];
        _std = [.. std];
        _maxPixels = maxPixels;
    }

    /// <summary>Floats of one picture: 3 · H · W.</summary>
    public int Length => 3 * _height * _width;

    /// <summary>Writes the tensor [3, H, W] of a picture.</summary>
    /// <exception cref="ImageInvalidException">It is neither JPEG nor PNG, damaged or too large, or the library that reads it is not there.</exception>
    public void Read(ReadOnlySpan<byte> file, Span<float> tensor)
    {
        using var pixels = Decode(file, _maxPixels);
        var colors = Resampling.Resize(pixels, _height, _width);
        var plane = _height * _width;
        for (var channel = 0; channel < 3; channel++)
        {
            for (var i = 0; i < plane; i++)
            {
                tensor[(channel * plane) + i] = (float)(((colors[(i * 3) + channel] / 255.0) - _mean[channel]) / _std[channel]);
            }
        }
    }

    /// <summary>Refuses what would take more memory or time than a picture is worth.</summary>
    internal static void CheckSize(long width, long height, int maxPixels)
    {
        if (width < 1 || height < 1 || width * height > maxPixels)
        {
            throw new ImageInvalidException(
                ImageInvalidException.Invalid, $"The picture has {width} x {height} pixels; at most {maxPixels} are read. Send a smaller one.");
        }
    }

    private static Pixels Decode(ReadOnlySpan<byte> file, int maxPixels) =>
        JpegDecoder.IsJpeg(file) ? JpegDecoder.Decode(file, maxPixels)
        : PngDecoder.IsPng(file) ? PngDecoder.Decode(file, maxPixels)
        : throw new ImageInvalidException(ImageInvalidException.Invalid, "The picture is neither a JPEG nor a PNG file.");
}
