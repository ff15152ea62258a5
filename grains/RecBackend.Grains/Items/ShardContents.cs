namespace RecBackend.Grains.Items;

/// <summary>What a shard has in memory: all that is durable, and nothing else.</summary>
internal sealed class ShardContents
{
    private long _headerVersion = -1;

    public ItemIndex Index { get; } = new();

    public ShardHeader Header { get; private set; } = new();

    /// <summary>The highest version that was given away.</summary>
    public long Version { get; private set; }

    /// <summary>Number of the next segment of the log.</summary>
    public long Next { get; set; }

    /// <summary>About how many bytes the segments of the log take that are not merged.</summary>
    public long LogBytes { get; set; }

    /// <summary>The merged segments.</summary>
    public List<MergedSegment> Merged { get; } = [];

    /// <summary>Applies the next segment of the log.</summary>
    public void ApplyLog(ItemSegment segment)
    {
        Apply(Next++, segment);
        LogBytes += segment.Size();
    }

    /// <summary>Applies a merged segment of version 0.1, which has no index.</summary>
    public void ApplyMerged(long number, ItemSegment segment)
    {
        Apply(number, segment);
        Merged.Add(new(number, Math.Max(1, Index.LiveParts(number)), segment.Size()));
    }

    /// <summary>Applies a page of the index.</summary>
    public void Apply(IndexPage page)
    {
        foreach (ref readonly var entry in page.Entries.AsSpan())
        {
            Index.Apply(entry);
        }

        Version = Math.Max(Version, page.Version);
        if (page.Header is { } header)
        {
            (Header, _headerVersion) = (header, page.Version);
        }
    }

    private void Apply(long number, ItemSegment segment)
    {
        for (var i = 0; i < segment.Entries.Length; i++)
        {
            Index.Apply(segment.Entries[i], new(number, i));
        }

        Version = Math.Max(Version, segment.Version);
        if (segment.Header is { } header && segment.Version > _headerVersion)
        {
            // A copy: the segment may stay in the cache, and what is noted from here on is not in it.
            (Header, _headerVersion) = (header.Copy(), segment.Version);
        }

        if (segment.Counted is { } counted)
        {
            Header.Ledger.Add(counted);
        }

        Header.Trims = segment.Trims ?? Header.Trims;
    }
}
