using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Core.Storage;
using RecBackend.Embedded.Storage;

namespace RecBackend.Embedded.Tests.Storage;

public sealed class GroupCommitTests : IAsyncDisposable
{
    private readonly RecordingTransaction _transaction = new();
    private readonly GroupCommit _commits;

    public GroupCommitTests() => _commits = new GroupCommit(_transaction, capacity: 10, NullLogger.Instance);

    [Fact]
    public async Task Writes_that_queue_up_during_a_commit_share_the_next()
    {
        var first = Write("a");
        await _transaction.InCommit.WaitAsync();
        var others = "bcdef".Select(name => Write(name.ToString())).ToArray();
        _transaction.LetCommits(2);
        await Task.WhenAll(others.Append(first));

        Assert.Equal(["begin a commit publish", "begin b c d e f commit publish"], _transaction.Groups);
    }

    [Fact]
    public async Task Caller_hears_of_success_after_the_commit_and_not_before()
    {
        var write = Write("a");
        await _transaction.InCommit.WaitAsync();

        Assert.False(write.IsCompleted);

        _transaction.LetCommits(1);
        await write;
    }

    [Fact]
    public async Task Write_that_fails_fails_alone()
    {
        var first = Write("a");
        await _transaction.InCommit.WaitAsync();
        var good = Write("b");
        var bad = _commits.RunAsync<bool>(1, () => throw new InvalidOperationException("bad"), default);
        var alsoGood = Write("c");
        _transaction.LetCommits(3);

        await Task.WhenAll(first, good, alsoGood);
        Assert.Equal("bad", (await Assert.ThrowsAsync<InvalidOperationException>(() => bad)).Message);
        Assert.Equal(
            ["begin a commit publish", "begin b rollback", "begin b commit publish", "begin rollback", "begin c commit publish"],
            _transaction.Groups);
    }

    [Fact]
    public async Task Commit_that_fails_fails_its_writes_and_later_ones_go_on()
    {
        _transaction.Failure = new StorageException(StorageException.Unavailable, "gone");
        _transaction.LetCommits(1);
        Assert.Equal("gone", (await Assert.ThrowsAsync<StorageException>(() => Write("a"))).Message);

        _transaction.Failure = null;
        _transaction.LetCommits(1);
        await Write("b");
        Assert.Equal(["begin a rollback", "begin b commit publish"], _transaction.Groups);
    }

    [Fact]
    public async Task Full_queue_refuses_at_once_and_recovers()
    {
        var first = Write("a");
        await _transaction.InCommit.WaitAsync();
        var large = _commits.RunAsync(8, () => true, default);
        var refused = await Assert.ThrowsAsync<StorageException>(() => _commits.RunAsync(3, () => true, default));
        Assert.Equal(StorageException.Overloaded, refused.Code);
        var fits = _commits.RunAsync(2, () => true, default);

        _transaction.LetCommits(3);
        await Task.WhenAll(first, large, fits);
        await _commits.RunAsync(3, () => true, default);
    }

    [Fact]
    public async Task Write_larger_than_the_queue_is_taken_when_nothing_waits()
    {
        _transaction.LetCommits(1);

        Assert.True(await _commits.RunAsync(1_000, () => true, default));
    }

    [Fact]
    public async Task Closing_stores_what_was_handed_in_and_refuses_what_comes_later()
    {
        var first = Write("a");
        await _transaction.InCommit.WaitAsync();
        var second = Write("b");
        var closing = _commits.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => Write("c"));

        _transaction.LetCommits(2);
        await closing;
        await Task.WhenAll(first, second);
    }

    [Fact]
    public async Task Defect_after_a_commit_stops_all_writing()
    {
        _transaction.PublishFailure = new InvalidOperationException("defect");
        _transaction.LetCommits(1);

        Assert.Equal(StorageException.Unavailable, (await Assert.ThrowsAsync<StorageException>(() => Write("a"))).Code);
        Assert.Equal(StorageException.Unavailable, (await Assert.ThrowsAsync<StorageException>(() => Write("b"))).Code);
        Assert.Single(_transaction.Groups);
    }

    public async ValueTask DisposeAsync()
    {
        _transaction.LetCommits(1_000);
        await _commits.DisposeAsync();
    }

    // Async, so that a refusal is a failed task.
    private async Task Write(string name) => await _commits.RunAsync(1, () => _transaction.Note(name), default);

    /// <summary>Writes down what it is asked to do; each commit waits to be let through.</summary>
    private sealed class RecordingTransaction : ITransaction
    {
        private readonly SemaphoreSlim _allowed = new(0);
        private string _group = "";

        public List<string> Groups { get; } = [];

        public SemaphoreSlim InCommit { get; } = new(0);

        public Exception? Failure { get; set; }

        public Exception? PublishFailure { get; set; }

        public void LetCommits(int count) => _allowed.Release(count);

        public bool Note(string name)
        {
            _group += " " + name;
            return true;
        }

        public void Begin() => _group = "begin";

        public void Commit()
        {
            InCommit.Release();
            _allowed.Wait();
            _group += Failure is null ? " commit" : throw Failure;
        }

        public void Rollback() => Groups.Add(_group + " rollback");

        public void Publish()
        {
            Groups.Add(_group + " publish");
            if (PublishFailure is not null)
            {
                throw PublishFailure;
            }
        }
    }
}
