using System.Text.Json.Serialization;

namespace RecBackend.Client;

/// <summary>The model bundles of a server.</summary>
public sealed record ModelList
{
    /// <summary>Version of the one that ranks; null if none does.</summary>
    public string? Active { get; init; }

    /// <summary>Version that a rollback returns to.</summary>
    public string? Previous { get; init; }

    /// <summary>All that are stored, newest first.</summary>
    public IReadOnlyList<ModelSummary> Models { get; init; } = [];
}

/// <summary>A stored bundle.</summary>
public sealed record ModelSummary
{
    /// <summary>Its version.</summary>
    public required string Version { get; init; }

    /// <summary>The recipe that trained it.</summary>
    public string? Recipe { get; init; }

    /// <summary>When.</summary>
    public DateTimeOffset? Created { get; init; }

    /// <summary>Size of its files.</summary>
    public long Bytes { get; init; }

    /// <summary>Metrics by part of the data and name, as training wrote them.</summary>
    public IReadOnlyDictionary<string, IReadOnlyDictionary<string, double>>? Metrics { get; init; }
}

/// <summary>Progress of long work on the server.</summary>
public sealed record Job
{
    /// <summary>The job's ID.</summary>
    public required string Id { get; init; }

    /// <summary><c>running</c>, <c>succeeded</c>, <c>failed</c> or <c>cancelled</c>.</summary>
    public required string State { get; init; }

    /// <summary>Entries done.</summary>
    public long Done { get; init; }

    /// <summary>Entries in all; null while not known.</summary>
    public long? Total { get; init; }

    /// <summary>Why it failed; null if it did not.</summary>
    public JobFailure? Failure { get; init; }

    /// <summary>Whether it is over.</summary>
    [JsonIgnore]
    public bool Ended => State != "running";

    /// <summary>Whether it did what it was started for.</summary>
    [JsonIgnore]
    public bool Succeeded => State == "succeeded";
}

/// <summary>Why a job ended early.</summary>
/// <param name="Code">Stable code.</param>
/// <param name="Detail">In words.</param>
public sealed record JobFailure(string Code, string? Detail);
