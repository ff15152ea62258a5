namespace RecBackend.Http.Ranking;

/// <summary>Body of <c>POST /v1/rank</c>, for the API's description: the server reads it by hand.</summary>
public sealed record RankBody
{
    /// <summary>The user to rank for; one never seen ranks with an empty history.</summary>
    public required string User { get; init; }

    /// <summary>IDs of the candidates; each may also be an object <c>{"id":"…"}</c>. One that is there twice is ranked once.</summary>
    public required IReadOnlyList<string> Items { get; init; }

    /// <summary>Numbers for the bundle's context fields by name. <c>timestamp</c>, in Unix seconds, replaces the server's clock.</summary>
    public IReadOnlyDictionary<string, double>? Context { get; init; }

    /// <summary>How many of the best to return; absent, null or 0 = all.</summary>
    public int? Limit { get; init; }

    /// <summary>Version of the bundle that must answer; absent or null = the active one.</summary>
    public string? Model { get; init; }

    /// <summary>Whether the reply tells statistics and stage times.</summary>
    public bool? Explain { get; init; }

    /// <summary>The caller's ID of the request; absent or null = the server makes one.</summary>
    public string? RequestId { get; init; }
}

/// <summary>Reply of <c>POST /v1/rank</c>.</summary>
public sealed record RankReply
{
    /// <summary>ID of the request, for the events that follow from it.</summary>
    public required string RequestId { get; init; }

    /// <summary>Version of the bundle that scored; null in a fallback without one.</summary>
    public required string? Model { get; init; }

    /// <summary><c>model</c> or <c>fallback</c>.</summary>
    public required string Mode { get; init; }

    /// <summary>Why the fallback answered: <c>no_model</c>, <c>overloaded</c>, <c>deadline_exceeded</c> or <c>user_unavailable</c>; null if the model did.</summary>
    public required string? Reason { get; init; }

    /// <summary>The candidates, best first.</summary>
    public required IReadOnlyList<RankedReply> Items { get; init; }

    /// <summary>Candidates that the server does not have, not ranked.</summary>
    public required IReadOnlyList<string> Unknown { get; init; }

    /// <summary>Time on the server, microseconds.</summary>
    public required long TookUs { get; init; }

    /// <summary>With <c>explain</c>: times of the stages, microseconds.</summary>
    public StagesReply? StagesUs { get; init; }
}

/// <summary>One ranked candidate.</summary>
public sealed record RankedReply
{
    /// <summary>The item's ID.</summary>
    public required string Id { get; init; }

    /// <summary>Probability of a click; in fallback mode the smoothed click rate.</summary>
    public required float Score { get; init; }

    /// <summary>Whether training had never seen the item.</summary>
    public required bool Cold { get; init; }

    /// <summary>With <c>explain</c>: the item's statistics as the model read them.</summary>
    public IReadOnlyDictionary<string, float>? Features { get; init; }
}

/// <summary>Times of a ranking's stages, microseconds.</summary>
/// <param name="Wait">Waiting for a thread to run on.</param>
/// <param name="UserRead">Reading the user and, where needed, encoding it.</param>
/// <param name="Gather">Look-up of candidates and copy of rows.</param>
/// <param name="Run">Waiting for a session and running the ranker.</param>
/// <param name="Total">All of it.</param>
public sealed record StagesReply(long Wait, long UserRead, long Gather, long Run, long Total);
