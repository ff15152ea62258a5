using RecBackend.Cli.Data;
using RecBackend.Client;

namespace RecBackend.Cli.Loading;

/// <summary>Turns rows of a data set into events. Their IDs depend on the data and the row alone, so that telling a row again has no effect.</summary>
/// <param name="fingerprint">Of the data set.</param>
internal sealed class EventSource(string fingerprint)
{
    /// <summary>Adds the events of a row: an impression and, if it was clicked, a click after it.</summary>
    public void Add(List<InteractionEvent> events, int row, in EventRow data)
    {
        var impression = new InteractionEvent
        {
            EventId = $"{fingerprint}-{row}-i",
            Type = "impression",
            User = data.User,
            Item = data.Item,
            Timestamp = data.Timestamp,
            RequestId = data.RequestId.Length == 0 ? null : data.RequestId,
        };
        events.Add(impression);
        if (data.Clicked)
        {
            events.Add(impression with { EventId = $"{fingerprint}-{row}-c", Type = "click" });
        }
    }
}
