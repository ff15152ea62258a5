using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Core.Users;

namespace RecBackend.Embedded.Tests.Faults;

public sealed class DiskTests
{
    [SkippableFact]
    public async Task Full_disk_refuses_writes_keeps_everything_and_works_again_with_space()
    {
        using var disk = new SmallDisk(megabytes: 8);
        var state = Path.Combine(disk.Path, "state");
        var acknowledged = 0;
        var refused = new List<InteractionEvent>();
        await using (var engine = await OpenAsync(state))
        {
            await engine.Items.UpsertAsync([new("i", new ItemContent { Title = "x" }, null)], default);
            disk.Fill();

            // What is allocated already may still take a few writes.
            for (var n = 0; refused.Count < 20; n++)
            {
                Assert.True(n < 20_000, "The disk never filled up.");
                var interaction = Event(n);
                try
                {
                    await engine.Users.AppendAsync([interaction], default);
                    acknowledged++;
                }
                catch (StorageException exception)
                {
                    Assert.Equal(StorageException.Full, exception.Code);
                    refused.Add(interaction);
                }

                // Reads go on, and never show what was refused.
                Assert.Equal(acknowledged, (await engine.Users.GetAsync("u", default)).Impressions);
            }

            Assert.Equal(acknowledged, (await engine.Items.GetAsync("i", default))!.Counters.Impressions);

            disk.Free();
            foreach (var interaction in refused)
            {
                var receipt = await engine.Users.AppendAsync([interaction], default);
                Assert.Equal(1, receipt.Accepted);
            }

            Assert.Equal(acknowledged + 20, (await engine.Users.GetAsync("u", default)).Impressions);
        }

        await using (var engine = await OpenAsync(state))
        {
            Assert.Equal(acknowledged + 20, (await engine.Users.GetAsync("u", default)).Impressions);
            Assert.Equal(acknowledged + 20, (await engine.Items.GetAsync("i", default))!.Counters.Impressions);
        }

        Assert.Equal("ok", IntegrityOf(state));
    }

    [SkippableFact]
    public async Task Write_that_does_not_fit_fails_alone()
    {
        using var disk = new SmallDisk(megabytes: 8);
        await using var engine = await OpenAsync(Path.Combine(disk.Path, "state"));
        await engine.Items.UpsertAsync([new("i", new ItemContent { Title = "x" }, null)], default);

        var tooLarge = Enumerable.Range(0, 20).Select(n => TryAsync(() => engine.Items.UpsertAsync([new($"big{n}", new ItemContent { Image = new byte[9 << 20] }, null)], default).AsTask()));
        var small = Enumerable.Range(0, 20).Select(n => TryAsync(() => engine.Users.AppendAsync([Event(n)], default).AsTask()));
        var outcomes = await Task.WhenAll(tooLarge.Zip(small).SelectMany(pair => new[] { pair.First, pair.Second }));

        Assert.Equal(Enumerable.Repeat(new[] { StorageException.Full, null }, 20).SelectMany(pair => pair), outcomes);
        Assert.Equal(20, (await engine.Users.GetAsync("u", default)).Impressions);
        Assert.Equal(1, await engine.Items.CountAsync(default));
    }

    [SkippableFact]
    public async Task First_start_on_a_full_disk_says_so_and_works_after_space_was_made()
    {
        using var disk = new SmallDisk(megabytes: 4);
        var state = Path.Combine(disk.Path, "state");
        disk.Fill();

        var exception = await Assert.ThrowsAsync<StorageException>(() => OpenAsync(state));
        Assert.Equal(StorageException.Full, exception.Code);
        Assert.Contains(state, exception.Message, StringComparison.Ordinal);

        disk.Free();
        await using var engine = await OpenAsync(state);
        Assert.Equal(0, await engine.Items.CountAsync(default));
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Start_on_a_read_only_disk_says_so(bool withState)
    {
        using var disk = new SmallDisk(megabytes: 4);
        var state = Path.Combine(disk.Path, "state");
        if (withState)
        {
            await (await OpenAsync(state)).DisposeAsync();
        }

        disk.MakeReadOnly();

        var exception = await Assert.ThrowsAsync<StorageException>(() => OpenAsync(state));
        Assert.Equal(StorageException.Unavailable, exception.Code);
        Assert.Contains(state, exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task First_start_makes_the_directory()
    {
        using var directory = new TemporaryDirectory();
        var state = Path.Combine(directory.Path, "a", "b");

        await using var engine = await OpenAsync(state);

        Assert.True(File.Exists(Path.Combine(state, "engine.db")));
    }

    [Fact]
    public async Task Directory_of_a_running_engine_is_refused_and_free_after_it_closed()
    {
        using var directory = new TemporaryDirectory();
        await using (await OpenAsync(directory.Path))
        {
            var exception = await Assert.ThrowsAsync<StorageException>(() => OpenAsync(directory.Path));
            Assert.Equal(StorageException.Unavailable, exception.Code);
            Assert.Contains("in use", exception.Message, StringComparison.Ordinal);
            Assert.Contains(directory.Path, exception.Message, StringComparison.Ordinal);
        }

        await (await OpenAsync(directory.Path)).DisposeAsync();
    }

    [Fact]
    public async Task Foreign_lock_on_the_state_file_fails_writes_clearly_and_passes()
    {
        using var directory = new TemporaryDirectory();
        await using var engine = await OpenAsync(directory.Path);
        await using (var shell = Connect(directory.Path))
        {
            Execute(shell, "BEGIN IMMEDIATE");
            var exception = await Assert.ThrowsAsync<StorageException>(
                () => engine.Items.UpsertAsync([new("i", new ItemContent(), null)], default).AsTask());
            Assert.Equal(StorageException.Unavailable, exception.Code);
            Assert.Contains("lock", exception.Message, StringComparison.Ordinal);
        }

        await engine.Items.UpsertAsync([new("i", new ItemContent(), null)], default);
        Assert.Equal(1, await engine.Items.CountAsync(default));
    }

    private static InteractionEvent Event(int n) => new($"event-{n}", InteractionEvent.Impression, "u", "i", n, null);

    private static Task<EmbeddedEngine> OpenAsync(string directory) =>
        EmbeddedEngine.OpenAsync(new EmbeddedOptions { Directory = directory }, TimeProvider.System, NullLogger.Instance);

    private static async Task<string?> TryAsync(Func<Task> write)
    {
        try
        {
            await write();
            return null;
        }
        catch (StorageException exception)
        {
            return exception.Code;
        }
    }

    private static SqliteConnection Connect(string directory)
    {
        var connection = new SqliteConnection($"Data Source={Path.Combine(directory, "engine.db")};Pooling=false");
        connection.Open();
        return connection;
    }

    private static void Execute(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private static string IntegrityOf(string directory)
    {
        using var connection = Connect(directory);
        using var command = connection.CreateCommand();
        command.CommandText = "PRAGMA integrity_check";
        return (string)command.ExecuteScalar()!;
    }
}
