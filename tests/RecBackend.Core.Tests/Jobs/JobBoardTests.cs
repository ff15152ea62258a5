using RecBackend.Core.Jobs;
using RecBackend.Core.Models;
using RecBackend.Core.Storage;

namespace RecBackend.Core.Tests.Jobs;

public class JobBoardTests
{
    private readonly ManualClock _clock = new();

    [Fact]
    public async Task Job_tells_how_far_it_is_and_how_fast()
    {
        await using var board = new JobBoard(_clock);
        var (told, go) = (new TaskCompletionSource(), new TaskCompletionSource());
        var job = board.Start("warm", async (progress, _) =>
        {
            progress.Total = 100;
            progress.Advance(30);
            told.SetResult();
            await go.Task;
        });
        await told.Task;
        _clock.Advance(TimeSpan.FromSeconds(10));

        var status = board.Get(job.Id)!;
        Assert.Equal((JobState.Running, 30, 100, 3.0), (status.State, status.Done, status.Total, status.Rate));

        go.SetResult();
        status = await EndAsync(board, job.Id);
        Assert.Equal(JobState.Succeeded, status.State);
        _clock.Advance(TimeSpan.FromHours(1));
        Assert.Equal(3.0, board.Get(job.Id)!.Rate);
    }

    [Fact]
    public async Task Failure_is_told_by_code()
    {
        await using var board = new JobBoard(_clock);
        var refused = board.Start("activate", (_, _) => throw new BundleRefusedException("bundle_hash_mismatch", "ranker.onnx"));
        var conflict = board.Start("activate", (_, _) => throw new OperationRefusedException("activation_in_progress", "wait"));
        var full = board.Start("activate", (_, _) => throw new StorageException(StorageException.Full, "No space is left."));
        var broken = board.Start("activate", (_, _) => throw new InvalidOperationException("oh"));

        Assert.Equal("bundle_hash_mismatch", (await EndAsync(board, refused.Id)).Failure!.Code);
        Assert.Equal("activation_in_progress", (await EndAsync(board, conflict.Id)).Failure!.Code);
        Assert.Equal(new JobFailure("storage_full", "No space is left."), (await EndAsync(board, full.Id)).Failure);
        var failure = (await EndAsync(board, broken.Id)).Failure!;
        Assert.Equal("internal_error", failure.Code);
        Assert.DoesNotContain("oh", failure.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Only_so_many_jobs_run_at_once()
    {
        await using var board = new JobBoard(_clock);
        var jobs = Enumerable.Range(0, JobBoard.RunningJobs).Select(_ => board.Start("warm", (_, cancellation) => Task.Delay(Timeout.Infinite, cancellation))).ToList();

        Assert.Equal("overloaded", Assert.Throws<OperationRefusedException>(() => board.Start("warm", (_, _) => Task.CompletedTask)).Code);

        board.Cancel(jobs[0].Id);
        await EndAsync(board, jobs[0].Id);
        Assert.Equal(JobState.Succeeded, (await EndAsync(board, board.Start("warm", (_, _) => Task.CompletedTask).Id)).State);
    }

    [Fact]
    public async Task Errors_are_all_counted_and_the_first_are_kept()
    {
        await using var board = new JobBoard(_clock);
        var job = board.Start("warm", (progress, _) =>
        {
            for (var i = 0; i < 250; i++)
            {
                progress.Report(new($"{i}", "item_unknown", ""));
            }

            return Task.CompletedTask;
        });
        var status = await EndAsync(board, job.Id);
        Assert.Equal((250, JobProgress.KeptErrors), (status.ErrorCount, status.Errors.Count));
        Assert.Equal("0", status.Errors[0].Item);
    }

    [Fact]
    public async Task Shutdown_cancels_what_runs_and_waits_for_it()
    {
        var board = new JobBoard(_clock);
        var ended = false;
        var job = board.Start("warm", async (_, cancellation) =>
        {
            try
            {
                await Task.Delay(Timeout.Infinite, cancellation);
            }
            finally
            {
                ended = true;
            }
        });

        await board.DisposeAsync();

        Assert.True(ended);
        Assert.Equal(JobState.Cancelled, board.Get(job.Id)!.State);
        Assert.Throws<ObjectDisposedException>(() => board.Start("warm", (_, _) => Task.CompletedTask));
    }

    [Fact]
    public async Task Cancelled_job_says_so()
    {
        await using var board = new JobBoard(_clock);
        var job = board.Start("warm", (_, cancellation) => Task.Delay(Timeout.Infinite, cancellation));
        Assert.True(board.Cancel(job.Id));
        Assert.Equal(JobState.Cancelled, (await EndAsync(board, job.Id)).State);
        Assert.False(board.Cancel(job.Id));
        Assert.False(board.Cancel("none"));
    }

    [Fact]
    public async Task Finished_jobs_are_forgotten_in_the_end_but_running_ones_never()
    {
        await using var board = new JobBoard(_clock);
        var running = board.Start("warm", (_, cancellation) => Task.Delay(Timeout.Infinite, cancellation));
        var first = board.Start("warm", (_, _) => Task.CompletedTask);
        for (var i = 0; i < JobBoard.KeptJobs + 5; i++)
        {
            await EndAsync(board, board.Start("warm", (_, _) => Task.CompletedTask).Id);
        }

        Assert.Null(board.Get(first.Id));
        Assert.Equal(JobState.Running, board.Get(running.Id)!.State);
        Assert.InRange(board.List().Count, JobBoard.KeptJobs, JobBoard.KeptJobs + 1);
        Assert.Equal(running.Id, board.List()[^1].Id);
    }

    private static async Task<JobStatus> EndAsync(JobBoard board, string id)
    {
        for (var i = 0; i < 2_000 && board.Get(id)!.State == JobState.Running; i++)
        {
            await Task.Delay(5);
        }

        return board.Get(id)!;
    }
}
