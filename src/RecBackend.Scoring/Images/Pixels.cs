using System.Buffers;

namespace RecBackend.Scoring.Images;

/// <summary>A decoded picture: 8-bit channels, row-major [height, width, channels] in a rented buffer.</summary>
internal sealed class Pixels : IDisposable
{
    private byte[]? _values;

    public Pixels(int width, int height, int channels)
    {
        Width = width;
        Height = height;
        Channels = channels;
        _values = ArrayPool<byte>.Shared.Rent(checked(width * height * channels));
    }

    public int Width { get; }

    public int Height { get; }

    /// <summary>3: RGB. 4: RGB and alpha, not premultiplied.</summary>
    public int Channels { get; }

    public Span<byte> Values => _values.AsSpan(0, Width * Height * Channels);

    public void Dispose()
    {
        if (_values is not null)
        {
            ArrayPool<byte>.Shared.Return(_values);
            _values = null;
        }
    }
}
