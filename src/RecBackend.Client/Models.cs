using System.Text.Json.Serialization;

namespace RecBackend.Client;

/// <summary>The model bundles of a server.</summary>
public sealed record ModelList
{
    /// <summary>Version of the one that ranks; null if none does.</summary>
    public string? Active { get; init; }

    /// <summary>Version that a rollback returns to.</summary>
    public string? Previous { get; init; }

    /// <summary>Version that is being made ready.</summary>
    public string? Preparing { get; init; }

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

    /// <summary>Entries that failed; the job went on.</summary>
    public long ErrorCount { get; init; }

    /// <summary>The first of them.</summary>
    public IReadOnlyList<JobError> Errors { get; init; } = [];

    /// <summary>Why the job failed, in words; null if it did not.</summary>
    public string? Error { get; init; }

    /// <summary>The same as a stable code.</summary>
    public string? ErrorCode { get; init; }

    /// <summary>Whether it is over.</summary>
    [JsonIgnore]
    public bool Ended => State != "running";

    /// <summary>Whether it did what it was started for.</summary>
    [JsonIgnore]
    public bool Succeeded => State == "succeeded";
}

/// <summary>An item that a job could not do.</summary>
/// <param name="Item">The item.</param>
/// <param name="Code">Stable code.</param>
/// <param name="Detail">In words.</param>
public sealed record JobError(string Item, string Code, string? Detail);
