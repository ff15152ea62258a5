namespace RecBackend.Core.Storage;

/// <summary>
/// An engine could not store or read. Of a write that ends so nothing was stored, unless the message says that the outcome is unknown; it is safe to send it again.
/// </summary>
public sealed class StorageException(string code, string detail, Exception? inner = null) : Exception(detail, inner)
{
    /// <summary>No space is left. Works again once there is some.</summary>
    public const string Full = "storage_full";

    /// <summary>The storage cannot be reached, is read-only, or is locked by another process.</summary>
    public const string Unavailable = "storage_unavailable";

    /// <summary>Too many writes wait already. Try again later.</summary>
    public const string Overloaded = "storage_overloaded";

    /// <summary>What is stored cannot be understood: damaged, or written by a newer program.</summary>
    public const string Unreadable = "storage_unreadable";

    /// <summary>Stable code, one of the constants of this class.</summary>
    public string Code { get; } = code;
}
