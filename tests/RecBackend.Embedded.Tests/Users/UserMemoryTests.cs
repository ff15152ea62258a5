using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Core.Items;
using RecBackend.Core.Users;

namespace RecBackend.Embedded.Tests.Users;

public sealed class UserMemoryTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private EmbeddedEngine _engine = null!;

    public async Task InitializeAsync()
    {
        _engine = await EmbeddedEngine.OpenAsync(new EmbeddedOptions { Directory = _directory.Path }, TimeProvider.System, NullLogger.Instance);
        await _engine.Items.UpsertAsync([new("i", new ItemContent { Title = "x" }, null)], default);
    }

    [Fact]
    public async Task Reading_a_user_in_memory_allocates_nothing()
    {
        await AppendAsync("u", 0);
        await _engine.Users.GetAsync("u", default);

        // A thread switch or a collection inside the loop would be seen as allocation; one clean round of several is proof enough.
        var least = long.MaxValue;
        for (var round = 0; round < 10; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 1_000; i++)
            {
                var read = _engine.Users.GetAsync("u", default);
                Assert.True(read.IsCompletedSuccessfully);
            }

            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    [Fact]
    public async Task Users_who_are_dropped_at_any_moment_lose_nothing_and_never_go_back_in_time()
    {
        using var stop = new CancellationTokenSource();
        var sweeps = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                _engine.Cache.SweepIdle();
            }
        });

        var writers = Enumerable.Range(0, 4).Select(writer => Task.Run(async () =>
        {
            for (var n = 0; n < 300; n++)
            {
                var user = $"u{writer}-{n % 3}";
                await AppendAsync(user, n);
                var read = await _engine.Users.GetAsync(user, default);
                Assert.Equal((n / 3) + 1, read.Clicks);
                Assert.Equal(n, read.History[0].Timestamp);
            }
        })).ToArray();
        var readers = Enumerable.Range(0, 2).Select(_ => Task.Run(async () =>
        {
            var seen = new Dictionary<string, long>();
            while (!stop.IsCancellationRequested)
            {
                var user = $"u{Random.Shared.Next(4)}-{Random.Shared.Next(3)}";
                var version = (await _engine.Users.GetAsync(user, default)).Version;
                Assert.True(version >= seen.GetValueOrDefault(user), $"{user} went from {seen.GetValueOrDefault(user)} back to {version}");
                seen[user] = version;
            }
        })).ToArray();

        try
        {
            await Task.WhenAll(writers);
        }
        finally
        {
            await stop.CancelAsync();
        }

        await Task.WhenAll(readers.Append(sweeps));
    }

    [Fact]
    public async Task Erased_user_is_in_no_file()
    {
        var secret = "secret-user-" + Guid.NewGuid().ToString("N");
        await AppendAsync(secret, 0);
        await _engine.Users.SetAttributesAsync([new(secret, new Dictionary<string, string> { ["mail"] = secret + "@example.org" })], default);
        await AppendAsync("other", 0);
        Assert.True(IsInSomeFile(secret));

        await _engine.Users.EraseAsync(secret, default);

        Assert.False(IsInSomeFile(secret));
        Assert.True(IsInSomeFile("other"));
    }

    [Fact]
    public async Task Event_ids_that_left_the_window_are_deleted()
    {
        var clock = new Engine.Contract.ManualClock();
        using var directory = new TemporaryDirectory();
        await using (var engine = await EmbeddedEngine.OpenAsync(new EmbeddedOptions { Directory = directory.Path }, clock, NullLogger.Instance))
        {
            await engine.Items.UpsertAsync([new("i", new ItemContent(), null)], default);
            for (var n = 0; n < 6_000; n += 100)
            {
                clock.Advance(TimeSpan.FromHours(1));
                await engine.Users.AppendAsync(
                    [.. Enumerable.Range(n, 100).Select(i => new InteractionEvent($"event-{i}", InteractionEvent.Impression, "u", "i", i, null))], default);
            }
        }

        using var connection = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={Path.Combine(directory.Path, "engine.db")};Pooling=false");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT count(*) FROM arrival";

        // 24 hours are 2,400 events here; what is kept beyond is at most what gathers between two strokes.
        Assert.InRange((long)command.ExecuteScalar()!, 2_400, 3_400);
    }

    public async Task DisposeAsync()
    {
        await _engine.DisposeAsync();
        _directory.Dispose();
    }

    private async Task AppendAsync(string user, int n)
    {
        var receipt = await _engine.Users.AppendAsync([new InteractionEvent($"{user}-{n}", InteractionEvent.Click, user, "i", n, null)], default);
        Assert.Equal(1, receipt.Accepted);
    }

    private bool IsInSomeFile(string text) =>
        Directory.EnumerateFiles(_directory.Path, "engine.db*").Any(file =>
        {
            using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var copy = new MemoryStream();
            stream.CopyTo(copy);
            return copy.GetBuffer().AsSpan(0, (int)copy.Length).IndexOf(Encoding.UTF8.GetBytes(text)) >= 0;
        });
}
