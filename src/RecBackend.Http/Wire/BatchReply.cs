namespace RecBackend.Http.Wire;

/// <summary>What became of a batch: the entries that are not in <see cref="Rejected"/> are stored.</summary>
public sealed class BatchReply
{
    /// <summary>How many entries this call stored.</summary>
    public long Accepted { get; set; }

    /// <summary>How many were stored before; of events only.</summary>
    public long Duplicates { get; set; }

    /// <summary>How many cannot be stored.</summary>
    public long RejectedCount { get; set; }

    /// <summary>Those that cannot be stored, up to the first 1,000.</summary>
    public List<RejectedReply> Rejected { get; } = [];

    internal void Reject(RejectedReply entry, int listed)
    {
        RejectedCount++;
        if (Rejected.Count < listed)
        {
            Rejected.Add(entry);
        }
    }
}

/// <summary>An entry that cannot be stored.</summary>
/// <param name="Index">Its place, from 0: of the array, or of the lines with the blank ones counted.</param>
/// <param name="Code">Stable code.</param>
/// <param name="Detail">The reason in words.</param>
/// <param name="Place">Where in the entry.</param>
public sealed record RejectedReply(long Index, string Code, string? Detail = null, string? Place = null);
