using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Core.Storage;

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

    private readonly Lock _reporting = new();
    private readonly List<JobError> _errors = [];
    private long _done;
    private long _total = -1;
    private long _errorCount;

    /// <summary>Units done.</summary>
    public long Done => Interlocked.Read(ref _done);

    /// <summary>Units in all; null while not known.</summary>
    public long? Total
    {
        get => Interlocked.Read(ref _total) is >= 0 and var total ? total : null;
        set => Interlocked.Exchange(ref _total, value ?? -1);
    }

    /// <summary>All errors.</summary>
    public long ErrorCount => Interlocked.Read(ref _errorCount);

    /// <summary>The first errors.</summary>
    public IReadOnlyList<JobError> Errors
    {
        get
        {
            lock (_reporting)
            {
                return [.. _errors];
            }
        }
    }

    /// <summary>Counts units as done.</summary>
    public void Advance(long units) => Interlocked.Add(ref _done, units);

    /// <summary>Tells of something that could not be done.</summary>
    public void Report(JobError error)
    {
        Interlocked.Increment(ref _errorCount);
        lock (_reporting)
        {
            if (_errors.Count < KeptErrors)
            {
                _errors.Add(error);
            }
        }
    }
}

/// <summary>Port: the jobs that callers can ask about, of this host or of all that serve together.</summary>
public interface IJobDirectory
{
    /// <summary>The job, or null if there is none of that ID (any more).</summary>
    ValueTask<JobStatus?> GetAsync(string id, CancellationToken cancellation);

    /// <summary>All jobs, newest first.</summary>
    ValueTask<IReadOnlyList<JobStatus>> ListAsync(CancellationToken cancellation);

    /// <summary>Asks a job to stop. It may be at work still when this returns.</summary>
    /// <returns>The job, or null if there is none of that ID.</returns>
    ValueTask<JobStatus?> CancelAsync(string id, CancellationToken cancellation);
}

/// <summary>Long work that a caller starts and asks about later.</summary>
/// <param name="clock">Clock of their times and rates.</param>
/// <param name="log">Told of failures that nobody foresaw.</param>
public sealed class JobBoard(TimeProvider clock, ILogger<JobBoard>? log = null) : IJobDirectory, IAsyncDisposable
{
    /// <summary>How many jobs may run at once: each may hold a connection to the store for as long as it takes.</summary>
    public const int RunningJobs = 16;

    /// <summary>How many finished jobs are remembered.</summary>
    public const int KeptJobs = 100;

    private readonly ILogger _log = log ?? NullLogger<JobBoard>.Instance;
    private readonly Lock _changing = new();
    private readonly List<Job> _jobs = [];
    private bool _closed;

    /// <summary>Starts a job.</summary>
    /// <param name="kind">What it does.</param>
    /// <param name="work">The work; its token is cancelled by <see cref="Cancel"/> and at shutdown.</param>
    /// <exception cref="OperationRefusedException"><c>overloaded</c>: <see cref="RunningJobs"/> run already.</exception>
    /// <exception cref="ObjectDisposedException">The host is shutting down.</exception>
    public JobStatus Start(string kind, Func<JobProgress, CancellationToken, Task> work)
    {
        Job job;
        lock (_changing)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            if (_jobs.Count(one => one.IsRunning) >= RunningJobs)
            {
                throw new OperationRefusedException("overloaded", $"{RunningJobs} jobs run already; wait for one to end, or cancel one.");
            }

            ForgetOldest();
            job = new Job(kind, clock, _log);
            _jobs.Add(job);
            job.Run(work);
        }

        return job.Status;
    }

    /// <summary>The job, or null if there is none of that ID (any more).</summary>
    public JobStatus? Get(string id) => Find(id)?.Status;

    /// <summary>All jobs, newest first.</summary>
    public IReadOnlyList<JobStatus> List()
    {
        lock (_changing)
        {
            return [.. _jobs.AsEnumerable().Reverse().Select(job => job.Status)];
        }
    }

    /// <summary>Asks a job to stop.</summary>
    /// <returns>Whether it was running.</returns>
    public bool Cancel(string id) => Find(id)?.Cancel() ?? false;

    ValueTask<JobStatus?> IJobDirectory.GetAsync(string id, CancellationToken cancellation) => new(Get(id));

    ValueTask<IReadOnlyList<JobStatus>> IJobDirectory.ListAsync(CancellationToken cancellation) => new(List());

    ValueTask<JobStatus?> IJobDirectory.CancelAsync(string id, CancellationToken cancellation)
    {
        Cancel(id);
        return new(Get(id));
    }

    /// <summary>Cancels what runs and waits for it to end.</summary>
    public async ValueTask DisposeAsync()
    {
        Job[] jobs;
        lock (_changing)
        {
            _closed = true;
            jobs = [.. _jobs];
        }

        foreach (var job in jobs)
        {
            job.Cancel();
        }

        await Task.WhenAll(jobs.Select(job => job.Ended));
    }

    private Job? Find(string id)
    {
        lock (_changing)
        {
            return _jobs.Find(job => job.Id == id);
        }
    }

    private void ForgetOldest()
    {
        var surplus = _jobs.Count(job => !job.IsRunning) + 1 - KeptJobs;
        _jobs.RemoveAll(job => !job.IsRunning && surplus-- > 0);
    }

#pragma warning disable CA1001 // A cancellation source without a timer and without a wait handle holds nothing to be freed, and a late Cancel must still find it.
    private sealed class Job(string kind, TimeProvider clock, ILogger log)
#pragma warning restore CA1001
    {
        private readonly JobProgress _progress = new();
        private readonly CancellationTokenSource _stop = new();
        private readonly DateTimeOffset _started = clock.GetUtcNow();
        private readonly long _startedAt = clock.GetTimestamp();
        private volatile Outcome? _outcome;

        public string Id { get; } = Guid.NewGuid().ToString("n");

        public Task Ended { get; private set; } = Task.CompletedTask;

        public bool IsRunning => _outcome is null;

        public JobStatus Status
        {
            get
            {
                var outcome = _outcome;
                var elapsed = outcome?.Elapsed ?? clock.GetElapsedTime(_startedAt);
                var done = _progress.Done;
                var rate = elapsed > TimeSpan.Zero ? done / elapsed.TotalSeconds : 0;
                return new(
                    Id, kind, outcome?.State ?? JobState.Running, done, _progress.Total, rate, _progress.Errors, _progress.ErrorCount,
                    outcome?.Failure, _started, outcome?.At);
            }
        }

        public void Run(Func<JobProgress, CancellationToken, Task> work) => Ended = Task.Run(async () =>
        {
            try
            {
                await work(_progress, _stop.Token);
                End(JobState.Succeeded, null);
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                End(JobState.Cancelled, null);
            }
            catch (OperationRefusedException refusal)
            {
                End(JobState.Failed, new(refusal.Code, refusal.Message));
            }
            catch (Models.BundleRefusedException refusal)
            {
                End(JobState.Failed, new(refusal.Code, refusal.Message));
            }
            catch (StorageException failure)
            {
                log.LogError(failure, "The job {Id} ({Kind}) failed: {Code}", Id, kind, failure.Code);
                End(JobState.Failed, new(failure.Code, failure.Message));
            }
            catch (Exception error)
            {
                log.LogError(error, "The job {Id} ({Kind}) failed", Id, kind);
                End(JobState.Failed, new("internal_error", $"The host has a defect; its log tells of it under job {Id}."));
            }
        });

        public bool Cancel()
        {
            var running = IsRunning;
            _stop.Cancel();
            return running;
        }

        private void End(JobState state, JobFailure? failure) => _outcome = new(state, failure, clock.GetUtcNow(), clock.GetElapsedTime(_startedAt));

        private sealed record Outcome(JobState State, JobFailure? Failure, DateTimeOffset At, TimeSpan Elapsed);
    }
}
