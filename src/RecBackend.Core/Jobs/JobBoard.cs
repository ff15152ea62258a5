namespace RecBackend.Core.Jobs;

/// <summary>Where a job stands.</summary>
public enum JobState
{
    /// <summary>At work.</summary>
    Running,

    /// <summary>Done.</summary>
    Succeeded,

    /// <summary>Ended by an error, <see cref="JobStatus.Failure"/>.</summary>
    Failed,

    /// <summary>Stopped by a caller or by the host's shutdown.</summary>
    Cancelled,
}

/// <summary>A job at one moment.</summary>
/// <param name="Id">Its ID.</param>
/// <param name="Kind">What it does, such as <c>warm</c> or <c>activate</c>.</param>
/// <param name="State">Where it stands.</param>
/// <param name="Done">Units done.</param>
/// <param name="Total">Units in all; null while not known.</param>
/// <param name="Rate">Units per second since the start.</param>
/// <param name="Errors">The first errors, <see cref="JobProgress.KeptErrors"/> at most.</param>
/// <param name="ErrorCount">All errors.</param>
/// <param name="Failure">Why the job ended early, or null.</param>
/// <param name="Started">When it started.</param>
/// <param name="Finished">When it ended, or null.</param>
public sealed record JobStatus(
    string Id,
    string Kind,
    JobState State,
    long Done,
    long? Total,
    double Rate,
    IReadOnlyList<JobError> Errors,
    long ErrorCount,
    JobFailure? Failure,
    DateTimeOffset Started,
    DateTimeOffset? Finished);

/// <summary>Something that a job could not do; it went on.</summary>
/// <param name="Item">The item.</param>
/// <param name="Code">Stable code.</param>
/// <param name="Detail">In words.</param>
public sealed record JobError(string Item, string Code, string Detail);

/// <summary>Why a job ended early.</summary>
/// <param name="Code">Stable code; <c>internal_error</c> for what nobody foresaw.</param>
/// <param name="Detail">In words.</param>
public sealed record JobFailure(string Code, string Detail);

/// <summary>What a job tells of its progress. Thread-safe.</summary>
public sealed class JobProgress
{
    /// <summary>How many errors are kept with their words.</summary>
    public const int KeptErrors = 100;

    /// <summary>Units done.</summary>
    public long Done => throw new NotImplementedException();

    /// <summary>Units in all; null while not known.</summary>
    public long? Total { get; set; }

    /// <summary>All errors.</summary>
    public long ErrorCount => throw new NotImplementedException();

    /// <summary>The first errors.</summary>
    public IReadOnlyList<JobError> Errors => throw new NotImplementedException();

    /// <summary>Counts units as done.</summary>
    public void Advance(long units) => throw new NotImplementedException();

    /// <summary>Tells of something that could not be done.</summary>
    public void Report(JobError error) => throw new NotImplementedException();
}

/// <summary>Long work that a caller starts and asks about later.</summary>
public sealed class JobBoard : IAsyncDisposable
{
    /// <summary>How many finished jobs are remembered.</summary>
    public const int KeptJobs = 100;

    /// <summary>An empty board.</summary>
    public JobBoard(TimeProvider clock) => throw new NotImplementedException();

    /// <summary>Starts a job.</summary>
    /// <param name="kind">What it does.</param>
    /// <param name="work">The work; its token is cancelled by <see cref="Cancel"/> and at shutdown.</param>
    public JobStatus Start(string kind, Func<JobProgress, CancellationToken, Task> work) => throw new NotImplementedException();

    /// <summary>The job, or null if there is none of that ID (any more).</summary>
    public JobStatus? Get(string id) => throw new NotImplementedException();

    /// <summary>All jobs, newest first.</summary>
    public IReadOnlyList<JobStatus> List() => throw new NotImplementedException();

    /// <summary>Asks a job to stop.</summary>
    /// <returns>Whether it was running.</returns>
    public bool Cancel(string id) => throw new NotImplementedException();

    /// <summary>Cancels what runs and waits for it to end.</summary>
    public ValueTask DisposeAsync() => throw new NotImplementedException();
}
