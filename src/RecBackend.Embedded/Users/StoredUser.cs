using RecBackend.Core.Users;

namespace RecBackend.Embedded.Users;

/// <summary>A user as last committed.</summary>
/// <param name="Key">The row, or <see cref="NoRow"/>.</param>
/// <param name="TrimAt">Number of the event with which old event IDs are next dropped.</param>
/// <param name="Snapshot">What everybody sees.</param>
internal sealed record StoredUser(long Key, long TrimAt, UserSnapshot Snapshot)
{
    public const long NoRow = 0;

    /// <summary>A user of whom nothing is stored.</summary>
    public static StoredUser Unknown(string id) => new(NoRow, ArrivalWindow.FirstTrim, new UserSnapshot { Id = id });

    /// <summary>Roughly what it takes in memory: objects, the two strings of each history entry, and the encoding, which is the largest part.</summary>
    public long Bytes =>
        400
        + (Snapshot.History.Length * 100L)
        + (Snapshot.Attributes.Count * 200L)
        + (Snapshot.Encoding is { } encoding ? (encoding.UserState.Length + encoding.HistoryState.Length) * (long)sizeof(float) : 0);
}

/// <summary>
/// How long event IDs are remembered: the last <see cref="UserState.RememberedEvents"/> of a user, and those of the last <see cref="UserState.RememberedTime"/>.
/// They are looked up in their table's primary key, not held in memory, and dropped in strokes: a stroke reads all that are kept, so the next one comes after another quarter of them.
/// </summary>
internal static class ArrivalWindow
{
    private const int Stroke = 256;

    public const long FirstTrim = UserState.RememberedEvents + Stroke;

    /// <summary>For a user who was just read: at the next whole multiple, so that it comes even if the user never stays in memory for long.</summary>
    public static long TrimAfterLoad(long events) => Math.Max(FirstTrim, (events / Stroke * Stroke) + Stroke);

    public static long TrimAfter(long events, long kept) => events + Math.Max(Stroke, kept / 4);
}
