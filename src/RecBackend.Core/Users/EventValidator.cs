using System.Collections.Frozen;

namespace RecBackend.Core.Users;

/// <summary>
/// Checks what a caller claims to have happened, before an engine sees it. Codes: <c>event_id_invalid</c>, <c>event_type_unknown</c>, <c>event_user_invalid</c>, <c>event_item_invalid</c>,
/// <c>event_timestamp_invalid</c>.
/// </summary>
public sealed class EventValidator
{
    /// <summary>How far ahead of this host's clock a caller's may be.</summary>
    public static readonly TimeSpan ToleratedAhead = TimeSpan.FromDays(1);

    private readonly FrozenSet<string> _types;
    private readonly TimeProvider _clock;

    /// <summary>Accepts <c>impression</c> and <paramref name="actions"/>.</summary>
    public EventValidator(IEnumerable<string> actions, TimeProvider clock)
    {
        _types = actions.Append(InteractionEvent.Impression).ToFrozenSet(StringComparer.Ordinal);
        _clock = clock;
    }

    /// <summary>Null, or why the event cannot be stored; <paramref name="index"/> is its place in its batch.</summary>
    public RejectedEntry? Check(InteractionEvent interaction, int index)
    {
        const string IdRule = "An ID has 1 to 128 bytes of UTF-8 and no control characters.";
        if (!EntityId.IsValid(interaction.EventId))
        {
            return new(index, "event_id_invalid", IdRule);
        }

        if (!_types.Contains(interaction.Type))
        {
            return new(index, "event_type_unknown", $"The event types of this host are {string.Join(", ", _types.Order(StringComparer.Ordinal))}.");
        }

        if (!EntityId.IsValid(interaction.User))
        {
            return new(index, "event_user_invalid", IdRule);
        }

        if (!EntityId.IsValid(interaction.Item))
        {
            return new(index, "event_item_invalid", IdRule);
        }

        var latest = (_clock.GetUtcNow() + ToleratedAhead).ToUnixTimeMilliseconds();
        return interaction.Timestamp < 0 || interaction.Timestamp > latest
            ? new(index, "event_timestamp_invalid", $"A timestamp lies between 1970 and {ToleratedAhead.TotalHours} hours from now.")
            : null;
    }
}
