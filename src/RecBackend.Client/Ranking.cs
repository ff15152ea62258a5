using System.Text.Json.Serialization;

namespace RecBackend.Client;

/// <summary>What to rank, and for whom.</summary>
public sealed record RankRequest
{
    /// <summary>The user's ID.</summary>
    public required string User { get; init; }

    /// <summary>IDs of the candidates.</summary>
    public required IReadOnlyList<string> Items { get; init; }

    /// <summary>Named numbers that the model may read. <c>timestamp</c>, in Unix seconds, replaces the server's clock.</summary>
    public IReadOnlyDictionary<string, double>? Context { get; init; }

    /// <summary>How many of the best to return; null = all.</summary>
    public int? Limit { get; init; }

    /// <summary>Version of the model that must answer; null = the active one.</summary>
    public string? Model { get; init; }

    /// <summary>The caller's ID of the request, returned with the answer; null = the server makes one.</summary>
    public string? RequestId { get; init; }

    /// <summary>When an answer by the model is of no more use and the fallback answers; null = the server's setting.</summary>
    [JsonIgnore]
    public TimeSpan? Timeout { get; init; }
}

/// <summary>Candidates in order of their click probability.</summary>
public sealed record Ranking
{
    /// <summary>ID of the request, for the events that follow from it.</summary>
    public string? RequestId { get; init; }

    /// <summary>Version of the model that scored; null if none did.</summary>
    public string? Model { get; init; }

    /// <summary><c>model</c> or <c>fallback</c>.</summary>
    public required string Mode { get; init; }

    /// <summary>Why the fallback answered; null if the model did.</summary>
    public string? Reason { get; init; }

    /// <summary>The candidates, best first.</summary>
    public IReadOnlyList<RankedItem> Items { get; init; } = [];

    /// <summary>Candidates that the server does not have, not ranked.</summary>
    public IReadOnlyList<string> Unknown { get; init; } = [];

    /// <summary>Time on the server, microseconds.</summary>
    public long TookUs { get; init; }

    /// <summary>Whether the model answered.</summary>
    [JsonIgnore]
    public bool ByModel => Mode == "model";
}

/// <summary>A ranked candidate.</summary>
/// <param name="Id">The item's ID.</param>
/// <param name="Score">Probability of a click.</param>
/// <param name="Cold">Whether training had never seen the item.</param>
public sealed record RankedItem(string Id, double Score, bool Cold);
