using System.Text;

namespace RecBackend.Http.Ranking;

/// <summary>IDs for rankings whose caller gave none: 48 bits of milliseconds, then 32 random ones, in base 32. They sort by time, and are 16 characters long.</summary>
public static class RequestIds
{
    /// <summary>Length of an ID.</summary>
    public const int Length = 16;

    // Crockford's alphabet: in ASCII order, so that the text sorts like the number, and without letters that are mistaken for digits.
    private static ReadOnlySpan<byte> Alphabet => "0123456789ABCDEFGHJKMNPQRSTVWXYZ"u8;

    /// <summary>A new ID.</summary>
    public static string New(DateTimeOffset now)
    {
        Span<byte> id = stackalloc byte[Length];
        Write(id, now);
        return Encoding.ASCII.GetString(id);
    }

    /// <summary>Writes a new ID.</summary>
    /// <param name="destination"><see cref="Length"/> bytes of ASCII.</param>
    /// <param name="now">The time that it carries.</param>
    public static void Write(Span<byte> destination, DateTimeOffset now)
    {
        // Nothing is secret about an ID, and the generator of keys costs ten microseconds.
        var bits = ((UInt128)(ulong)now.ToUnixTimeMilliseconds() << 32) | (uint)Random.Shared.NextInt64(1L << 32);
        for (var i = Length - 1; i >= 0; i--)
        {
            destination[i] = Alphabet[(int)(bits & 31)];
            bits >>= 5;
        }
    }
}
