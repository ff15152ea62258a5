using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace RecBackend.Scoring.Images;

/// <summary>
/// PNG by libpng's simplified interface, the one that never jumps over its caller on an error. Pixels are those that training saw; of 16-bit channels, which libpng rounds and
/// training cuts, they may be one step of 255 apart.
/// </summary>
internal static unsafe class PngDecoder
{
    private const uint Version = 1;
    private const uint AlphaFlag = 1;
    private const uint FormatRgb = 2;
    private const uint FormatRgba = 3;
    private const uint SixteenBitIsSrgb = 4;
    private const int ChunkOverhead = 12;

    private static readonly NativeLibraryReference Library = new("PNG", "libpng16-16", "libpng16.so.16", "libpng16.16.dylib", "libpng16.dll");

    private static ReadOnlySpan<byte> Signature => [0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A];

    /// <summary>Whether the file begins as a PNG does.</summary>
    public static bool IsPng(ReadOnlySpan<byte> file) => file.StartsWith(Signature);

    /// <summary>Decodes to RGB, or to RGB and alpha where the picture has alpha.</summary>
    /// <exception cref="ImageInvalidException">The file is damaged or too large, or the library is not there.</exception>
    public static Pixels Decode(ReadOnlySpan<byte> file, int maxPixels)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(file.Length);
        try
        {
            var length = CopyPixelChunks(file, buffer);
            fixed (byte* bytes = buffer)
            {
                return Decode(bytes, length, maxPixels);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static Pixels Decode(byte* bytes, int length, int maxPixels)
    {
        var begin = (delegate* unmanaged[Cdecl]<PngImage*, byte*, nuint, int>)Library.Export("png_image_begin_read_from_memory");
        var finish = (delegate* unmanaged[Cdecl]<PngImage*, void*, byte*, int, void*, int>)Library.Export("png_image_finish_read");
        var free = (delegate* unmanaged[Cdecl]<PngImage*, void>)Library.Export("png_image_free");
        var image = new PngImage { Version = Version };
        Pixels? pixels = null;
        try
        {
            if (begin(&image, bytes, (nuint)length) == 0)
            {
                throw Damaged(image);
            }

            ImageReader.CheckSize(image.Width, image.Height, maxPixels);
            var hasAlpha = (image.Format & AlphaFlag) != 0;
            image.Format = hasAlpha ? FormatRgba : FormatRgb;
            image.Flags |= SixteenBitIsSrgb;
            pixels = new Pixels((int)image.Width, (int)image.Height, hasAlpha ? 4 : 3);
            fixed (byte* values = pixels.Values)
            {
                if (finish(&image, null, values, 0, null) == 0)
                {
                    throw Damaged(image);
                }
            }

            return pixels;
        }
        catch
        {
            pixels?.Dispose();
            throw;
        }
        finally
        {
            free(&image);
        }
    }

    /// <summary>
    /// Keeps the chunks that make pixels. libpng would apply gamma and profiles of the others, and training does not; text and profiles may also be bombs of their own.
    /// </summary>
    private static int CopyPixelChunks(ReadOnlySpan<byte> file, Span<byte> destination)
    {
        Signature.CopyTo(destination);
        var written = Signature.Length;
        var rest = file[Signature.Length..];
        while (rest.Length >= ChunkOverhead)
        {
            var length = BinaryPrimitives.ReadUInt32BigEndian(rest);
            var size = (int)Math.Min(rest.Length, (long)length + ChunkOverhead);
            var type = rest.Slice(4, 4);
            if (char.IsAsciiLetterUpper((char)type[0]) || type.SequenceEqual("tRNS"u8))
            {
                rest[..size].CopyTo(destination[written..]);
                written += size;
            }

            rest = type.SequenceEqual("IEND"u8) ? [] : rest[size..];
        }

        return written;
    }

    private static ImageInvalidException Damaged(PngImage image)
    {
        var message = new ReadOnlySpan<byte>(image.Message, PngImage.MessageLength);
        var end = message.IndexOf((byte)0);
        return new(ImageInvalidException.Invalid, $"The PNG cannot be read: {Encoding.ASCII.GetString(end < 0 ? message : message[..end])}.");
    }

    /// <summary>png_image of png.h.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PngImage
    {
        public const int MessageLength = 64;

        public IntPtr Opaque;
        public uint Version;
        public uint Width;
        public uint Height;
        public uint Format;
        public uint Flags;
        public uint ColormapEntries;
        public uint WarningOrError;
        public fixed byte Message[MessageLength];
    }
}
