using System.Runtime.InteropServices;

namespace RecBackend.Scoring.Images;

/// <summary>
/// JPEG by libturbojpeg, which browsers and Pillow use too: with the accurate DCT its pixels are those that training saw.
/// </summary>
internal static unsafe class JpegDecoder
{
    private const int PixelFormatRgb = 0;
    private const int PixelFormatCmyk = 11;
    private const int ColorSpaceCmyk = 3;
    private const int ColorSpaceYcck = 4;
    private const int AccurateDct = 4096;

    /// <summary>Without it a progressive file of some kilobytes can keep a core busy for minutes.</summary>
    private const int LimitScans = 32768;

    private const int Warning = 0;

    private static readonly NativeLibraryReference Library =
        new("JPEG", "libturbojpeg0", "libturbojpeg.so.0", "libturbojpeg.0.dylib", "turbojpeg.dll");

    /// <summary>Whether the file begins as a JPEG does.</summary>
    public static bool IsJpeg(ReadOnlySpan<byte> file) => file is [0xFF, 0xD8, 0xFF, ..];

    /// <summary>Decodes to RGB.</summary>
    /// <exception cref="ImageInvalidException">The file is damaged or too large, or the library is not there.</exception>
    public static Pixels Decode(ReadOnlySpan<byte> file, int maxPixels)
    {
        var decoder = ((delegate* unmanaged[Cdecl]<IntPtr>)Library.Export("tjInitDecompress"))();
        if (decoder == IntPtr.Zero)
        {
            throw new ImageInvalidException(ImageInvalidException.Unsupported, "libturbojpeg could not be started; the machine may be out of memory.");
        }

        try
        {
            fixed (byte* bytes = file)
            {
                return Decode(decoder, bytes, file.Length, maxPixels);
            }
        }
        finally
        {
            _ = ((delegate* unmanaged[Cdecl]<IntPtr, int>)Library.Export("tjDestroy"))(decoder);
        }
    }

    private static Pixels Decode(IntPtr decoder, byte* bytes, int length, int maxPixels)
    {
        var readHeader = (delegate* unmanaged[Cdecl]<IntPtr, byte*, CULong, int*, int*, int*, int*, int>)Library.Export("tjDecompressHeader3");
        int width, height, subsampling, colorSpace;
        if (readHeader(decoder, bytes, new CULong((uint)length), &width, &height, &subsampling, &colorSpace) != 0 && !IsHarmless(decoder))
        {
            throw Damaged(decoder);
        }

        ImageReader.CheckSize(width, height, maxPixels);
        if (colorSpace is ColorSpaceCmyk or ColorSpaceYcck)
        {
            using var inks = new Pixels(width, height, channels: 4);
            Decompress(decoder, bytes, length, inks, PixelFormatCmyk);
            return FromInks(inks);
        }

        var pixels = new Pixels(width, height, channels: 3);
        try
        {
            Decompress(decoder, bytes, length, pixels, PixelFormatRgb);
            return pixels;
        }
        catch
        {
            pixels.Dispose();
            throw;
        }
    }

    private static void Decompress(IntPtr decoder, byte* bytes, int length, Pixels pixels, int format)
    {
        var decompress = (delegate* unmanaged[Cdecl]<IntPtr, byte*, CULong, byte*, int, int, int, int, int, int>)Library.Export("tjDecompress2");
        fixed (byte* values = pixels.Values)
        {
            var result = decompress(decoder, bytes, new CULong((uint)length), values, pixels.Width, 0, pixels.Height, format, AccurateDct | LimitScans);
            if (result != 0 && !IsHarmless(decoder))
            {
                throw Damaged(decoder);
            }
        }
    }

    /// <summary>Adobe's inks are stored inverted (255 = none), and nobody writes others: a colour is what its ink and black let through.</summary>
    private static Pixels FromInks(Pixels inks)
    {
        var pixels = new Pixels(inks.Width, inks.Height, channels: 3);
        var source = inks.Values;
        var target = pixels.Values;
        for (int from = 0, to = 0; from < source.Length; from += 4, to += 3)
        {
            var black = source[from + 3];
            target[to] = Through(source[from], black);
            target[to + 1] = Through(source[from + 1], black);
            target[to + 2] = Through(source[from + 2], black);
        }

        return pixels;

        static byte Through(int ink, int black) => (byte)(((ink * black) + 127) / 255);
    }

    /// <summary>Training reads on after a warning such as a stray byte between markers, but not past a file's missing end; so does serving.</summary>
    private static bool IsHarmless(IntPtr decoder) =>
        ((delegate* unmanaged[Cdecl]<IntPtr, int>)Library.Export("tjGetErrorCode"))(decoder) == Warning
        && !Message(decoder).Contains("Premature end", StringComparison.Ordinal);

    private static ImageInvalidException Damaged(IntPtr decoder) =>
        new(ImageInvalidException.Invalid, $"The JPEG cannot be read: {Message(decoder)}.");

    private static string Message(IntPtr decoder) =>
        Marshal.PtrToStringUTF8(((delegate* unmanaged[Cdecl]<IntPtr, IntPtr>)Library.Export("tjGetErrorStr2"))(decoder)) ?? "unknown reason";
}
