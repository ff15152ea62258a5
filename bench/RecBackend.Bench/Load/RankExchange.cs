using System.Net;

namespace RecBackend.Bench.Load;

/// <summary>How the generator asks for rankings.</summary>
internal static class RankExchange
{
    /// <summary>Bytes of a body that say what it is. Request ID and model version stand before the mode and its reason, 128 bytes of UTF-8 each at most, escaped at worst.</summary>
    public const int HeadOfReply = 2_048;

    /// <summary>An exchange for <paramref name="version"/>. Over HTTP/1.1 it is one of sockets, since what the generator takes of a machine that it shares is in the figures.</summary>
    /// <param name="address">Base URL. HTTP/2 is spoken without an upgrade, so it must be an endpoint for HTTP/2 alone.</param>
    /// <param name="version">1.1 or 2.0.</param>
    /// <param name="bodies">The requests; arrivals take them in turn.</param>
    /// <param name="deadline">Sent as <c>Request-Timeout-Ms</c>; null leaves it to the server.</param>
    public static IExchange Create(Uri address, Version version, ReadOnlyMemory<byte>[] bodies, TimeSpan? deadline) =>
        version == HttpVersion.Version11 ? new SocketExchange(address, bodies, deadline) : new ClientExchange(address, version, bodies, deadline);

    /// <summary>What a reply is, by its status and the beginning of its body.</summary>
    public static Outcome OutcomeOf(int status, ReadOnlySpan<byte> body) => (HttpStatusCode)status switch
    {
        HttpStatusCode.OK => OfRanking(body[..Math.Min(body.Length, HeadOfReply)]),
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
