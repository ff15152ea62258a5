using System.Net;

namespace RecBackend.Bench.Load;

/// <summary>Replies to a request for a ranking.</summary>
internal static class RankReply
{
    /// <summary>Bytes of a body that say what it is. Request ID and model version stand before the mode and its reason, 128 bytes of UTF-8 each at most, escaped at worst.</summary>
    public const int Head = 2_048;

    /// <summary>What a reply is, by its status and the beginning of its body.</summary>
    public static Outcome OutcomeOf(int status, ReadOnlySpan<byte> body) => (HttpStatusCode)status switch
    {
        HttpStatusCode.OK => OfRanking(body[..Math.Min(body.Length, Head)]),
        HttpStatusCode.TooManyRequests => Outcome.TooManyRequests,
        HttpStatusCode.ServiceUnavailable => Outcome.Unavailable,
        _ => Outcome.Unexpected,
    };

    private static Outcome OfRanking(ReadOnlySpan<byte> head)
    {
        if (head.IndexOf("\"mode\":\"model\""u8) >= 0)
        {
            return Outcome.Model;
        }

        if (head.IndexOf("\"mode\":\"fallback\""u8) < 0)
        {
            return Outcome.Unexpected;
        }

        return head.IndexOf("\"reason\":\"overloaded\""u8) >= 0 ? Outcome.FallbackOverloaded
            : head.IndexOf("\"reason\":\"deadline_exceeded\""u8) >= 0 ? Outcome.FallbackDeadline
            : Outcome.FallbackOther;
    }
}
