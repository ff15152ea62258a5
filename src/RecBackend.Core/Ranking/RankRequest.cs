namespace RecBackend.Core.Ranking;

/// <summary>One request to rank. Reusable: <see cref="Clear"/> it and fill it again.</summary>
public sealed class RankRequest
{
    /// <summary>The user to rank for.</summary>
    public string User { get; set; } = "";

    /// <summary>The items to rank.</summary>
    public CandidateList Candidates { get; } = new();

    /// <summary>How many of the best to return; 0 = all.</summary>
    public int Limit { get; set; }

    /// <summary>Version of the bundle that must answer, or null for the active one.</summary>
    public string? Model { get; set; }

    /// <summary>Moment that features refer to, Unix milliseconds; null = the server's clock. For replays.</summary>
    public long? Timestamp { get; set; }

    /// <summary>Numbers that the caller gave for named context fields.</summary>
    public List<KeyValuePair<string, double>> Context { get; } = [];

    /// <summary>When an answer by the model is of no more use and the fallback answers.</summary>
    public Models.Deadline Deadline { get; set; } = Models.Deadline.None;

    /// <summary>How long the request has waited for a thread already; a part of the ranking's time.</summary>
    public TimeSpan Waited { get; set; }

    /// <summary>Empties the request, keeping its buffers.</summary>
    public void Clear()
    {
        User = "";
        Waited = TimeSpan.Zero;
        Candidates.Clear();
        Limit = 0;
        Model = null;
        Timestamp = null;
        Context.Clear();
        Deadline = Models.Deadline.None;
    }
}

/// <summary>Candidate IDs in UTF-8, one after the other in one buffer that grows and is reused: reading a request allocates no string per candidate.</summary>
public sealed class CandidateList
{
    private byte[] _bytes = new byte[4096];
    private int[] _ends = new int[512];

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>The ID at <paramref name="index"/>. Valid until the list changes.</summary>
    public ReadOnlySpan<byte> this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count, nameof(index));
            var start = index == 0 ? 0 : _ends[index - 1];
            return _bytes.AsSpan(start, _ends[index] - start);
        }
    }

    /// <summary>Adds an ID; the caller has checked it with <see cref="EntityId"/>.</summary>
    public void Add(ReadOnlySpan<byte> utf8)
    {
        var start = Count == 0 ? 0 : _ends[Count - 1];
        var end = start + utf8.Length;
        if (end > _bytes.Length)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, end));
        }

        if (Count == _ends.Length)
        {
            Array.Resize(ref _ends, _ends.Length * 2);
        }

        utf8.CopyTo(_bytes.AsSpan(start));
        _ends[Count++] = end;
    }

    /// <summary>Empties the list, keeping its buffers.</summary>
    public void Clear() => Count = 0;
}
