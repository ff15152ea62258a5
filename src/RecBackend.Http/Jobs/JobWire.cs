using RecBackend.Core.Jobs;

namespace RecBackend.Http.Jobs;

/// <summary>A job at one moment.</summary>
public sealed record JobReply
{
    /// <summary>The job's ID.</summary>
    public required string Id { get; init; }

    /// <summary><c>warm</c>, <c>activate</c> or <c>rollback</c>.</summary>
    public required string Kind { get; init; }

    /// <summary><c>running</c>, <c>succeeded</c>, <c>failed</c> or <c>cancelled</c>.</summary>
    public required string State { get; init; }

    /// <summary>Items done.</summary>
    public required long Done { get; init; }

    /// <summary>Items in all; absent while not known.</summary>
    public long? Total { get; init; }

    /// <summary>Items per second since the start.</summary>
    public required double Rate { get; init; }

    /// <summary>All items that failed.</summary>
    public required long ErrorCount { get; init; }

    /// <summary>The first of them.</summary>
    public required IReadOnlyList<JobErrorReply> Errors { get; init; }

    /// <summary>Why the job failed, in words; absent if it did not.</summary>
    public string? Error { get; init; }

    /// <summary>The same as a stable code.</summary>
    public string? ErrorCode { get; init; }

    /// <summary>When it started.</summary>
    public required DateTimeOffset Started { get; init; }

    /// <summary>When it ended; absent while it runs.</summary>
    public DateTimeOffset? Finished { get; init; }

    internal static JobReply Of(JobStatus job) => new()
    {
        Id = job.Id,
        Kind = job.Kind,
        State = job.State switch
        {
            JobState.Running => "running",
            JobState.Succeeded => "succeeded",
            JobState.Failed => "failed",
            _ => "cancelled",
        },
        Done = job.Done,
        Total = job.Total,
        Rate = double.IsFinite(job.Rate) ? job.Rate : 0,
        ErrorCount = job.ErrorCount,
        Errors = [.. job.Errors.Select(error => new JobErrorReply(error.Item, error.Code, error.Detail))],
        Error = job.Failure?.Detail,
        ErrorCode = job.Failure?.Code,
        Started = job.Started,
        Finished = job.Finished,
    };
}

/// <summary>An item that a job could not do; it went on.</summary>
/// <param name="Item">The item.</param>
/// <param name="Code">Stable code.</param>
/// <param name="Detail">In words.</param>
public sealed record JobErrorReply(string Item, string Code, string Detail);

/// <summary>The jobs of this host.</summary>
/// <param name="Jobs">Newest first.</param>
public sealed record JobListReply(IReadOnlyList<JobReply> Jobs);
