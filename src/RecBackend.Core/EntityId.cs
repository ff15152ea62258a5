using System.Text;

namespace RecBackend.Core;

/// <summary>What an ID of a user, an item or an event may be: 1 to 128 bytes of UTF-8 without control characters.</summary>
public static class EntityId
{
    /// <summary>The longest ID, in bytes of UTF-8.</summary>
    public const int MaxBytes = 128;

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Whether <paramref name="utf8"/> is a valid ID: length, well-formed UTF-8, no control characters (C0, DEL, C1).</summary>
    public static bool IsValid(ReadOnlySpan<byte> utf8)
    {
        if (utf8.IsEmpty || utf8.Length > MaxBytes)
        {
            return false;
        }

        while (!utf8.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(utf8, out var rune, out var length) != System.Buffers.OperationStatus.Done || Rune.IsControl(rune))
            {
                return false;
            }

            utf8 = utf8[length..];
        }

        return true;
    }

    /// <summary>Whether <paramref name="id"/> is a valid ID. A lone surrogate is not.</summary>
    public static bool IsValid(string? id)
    {
        if (string.IsNullOrEmpty(id) || id.Length > MaxBytes)
        {
            return false;
        }

        Span<byte> utf8 = stackalloc byte[MaxBytes * 3];
        try
        {
            return IsValid(utf8[..Strict.GetBytes(id, utf8)]);
        }
        catch (EncoderFallbackException)
        {
            return false;
        }
    }
}
