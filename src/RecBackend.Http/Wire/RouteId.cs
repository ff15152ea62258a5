using System.Buffers;
using System.Text;
using Microsoft.AspNetCore.Http;
using RecBackend.Core;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Wire;

/// <summary>
/// Reads an ID from the path as it came over the wire. The routing's own value will not do: it leaves %2F alone, so that the IDs <c>a/b</c> and <c>a%2Fb</c> would be one.
/// </summary>
internal static class RouteId
{
    // "/v1/items/ID": what stands after the third slash.
    private const int Segment = 3;

    /// <summary>The ID in the path of <paramref name="request"/>.</summary>
    /// <exception cref="ProblemException">It is no valid ID.</exception>
    public static string Read(HttpRequest request)
    {
        var path = RawTarget.Path(request.HttpContext);
        var place = 0;
        foreach (var segment in path.Split('/'))
        {
            if (place++ == Segment)
            {
                return Decode(path[segment]) ?? throw new ProblemException(ProblemCode.IdInvalid, ProblemCode.IdInvalid.Title, "the path");
            }
        }

        throw new ProblemException(ProblemCode.IdInvalid, ProblemCode.IdInvalid.Title, "the path");
    }

    private static string? Decode(ReadOnlySpan<char> escaped)
    {
        // Longer than the longest ID in its longest form.
        if (escaped.Length > EntityId.MaxBytes * 3)
        {
            return null;
        }

        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes * 9];
        var length = 0;
        for (var i = 0; i < escaped.Length;)
        {
            if (escaped[i] != '%')
            {
                if (Rune.DecodeFromUtf16(escaped[i..], out var rune, out var consumed) != OperationStatus.Done)
                {
                    return null;
                }

                length += rune.EncodeToUtf8(utf8[length..]);
                i += consumed;
            }
            else if (i + 2 < escaped.Length && char.IsAsciiHexDigit(escaped[i + 1]) && char.IsAsciiHexDigit(escaped[i + 2]))
            {
                utf8[length++] = Convert.FromHexString(escaped.Slice(i + 1, 2))[0];
                i += 3;
            }
            else
            {
                return null;
            }
        }

        return EntityId.IsValid(utf8[..length]) ? Encoding.UTF8.GetString(utf8[..length]) : null;
    }
}
