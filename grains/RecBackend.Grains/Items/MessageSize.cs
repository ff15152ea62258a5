namespace RecBackend.Grains.Items;

/// <summary>
/// How large messages between silos get. Orleans refuses those above 100 MB; and one of tens of MB holds up what comes behind it on the same connection, the probes included by which silos see each other
/// alive.
/// </summary>
internal static class MessageSize
{
    /// <summary>A message that has so many bytes takes no more.</summary>
    public const long Most = 4 << 20;

    /// <summary>About how many bytes an ID takes.</summary>
    public static long Of(string id) => 20 + (2 * id.Length);
}
