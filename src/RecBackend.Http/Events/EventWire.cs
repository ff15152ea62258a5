using System.Text.Json;
using System.Text.Json.Serialization;
using RecBackend.Core.Users;
using RecBackend.Http.Problems;

namespace RecBackend.Http.Events;

/// <summary>Something that happened between a user and an item. Sending it again has no effect.</summary>
public sealed record EventBody
{
    /// <summary>The caller's ID of the event; required, because it is what makes sending twice harmless.</summary>
    public string? EventId { get; init; }

    /// <summary><c>impression</c>, or an action of the active bundle such as <c>click</c>.</summary>
    public string? Type { get; init; }

    /// <summary>The user's ID.</summary>
    public string? User { get; init; }

    /// <summary>The item's ID.</summary>
    public string? Item { get; init; }

    /// <summary>When: Unix seconds, with a fraction if wished, or RFC 3339. Absent or null = when the server reads it.</summary>
    [JsonConverter(typeof(EventTimeConverter))]
    public long? Timestamp { get; init; }

    /// <summary>The ranking that it answers.</summary>
    public string? RequestId { get; init; }

    internal InteractionEvent ToEvent(DateTimeOffset now) =>
        new(EventId ?? "", Type ?? "", User ?? "", Item ?? "", Timestamp ?? now.ToUnixTimeMilliseconds(), RequestId);
}

/// <summary>Unix seconds or RFC 3339 on the wire, Unix milliseconds inside.</summary>
internal sealed class EventTimeConverter : JsonConverter<long?>
{
    // What is further away is refused by the validator; here it only must not overflow.
    private const double Limit = 1e15;

    public override long? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.Number when reader.TryGetDouble(out var seconds) && Math.Abs(seconds) < Limit => (long)Math.Round(seconds * 1000),
        JsonTokenType.String when EndsWithOffset(ref reader) && reader.TryGetDateTimeOffset(out var time) => time.ToUnixTimeMilliseconds(),
        _ => throw new ProblemException(
            ProblemCode.EventTimestampInvalid, "A timestamp is a number of Unix seconds or a text such as 2026-11-22T01:00:00Z, with its offset.", "timestamp"),
    };

    public override void Write(Utf8JsonWriter writer, long? value, JsonSerializerOptions options)
    {
        if (value is { } milliseconds)
        {
            writer.WriteNumberValue(milliseconds / 1000.0);
        }
        else
        {
            writer.WriteNullValue();
        }
    }

    // Without one, the host's own time zone would decide what the text means.
    private static bool EndsWithOffset(ref Utf8JsonReader reader)
    {
        var text = reader.GetString()!;
        return text.EndsWith('Z') || (text.Length > 6 && text[^6] is '+' or '-' && text[^3] == ':');
    }
}
