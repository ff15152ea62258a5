using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Core.Users;

namespace RecBackend.Embedded.Tests.Storage;

public sealed class SchemaTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    private string DatabaseFile => Path.Combine(_directory.Path, "engine.db");

    [Fact]
    public async Task State_of_an_older_schema_is_migrated_without_loss()
    {
        RunScript(Version1());

        await using (var engine = await OpenAsync())
        {
            var alien = await engine.Items.GetAsync("alien", default);
            Assert.Equal(4, alien!.Version);
            Assert.Equal("Alien", alien.Content.Title);
            Assert.Equal(["space"], alien.Content.Tags);
            Assert.Equal(new byte[] { 0xFF, 0xD8 }, alien.Content.Image);
            Assert.Equal(new[] { 1f, 2f }, alien.Content.ImageFeatures);
            Assert.Equal(new[] { 0.5f, 1.5f }, alien.RepresentationFor("bundle-1")!.Values);
            Assert.Equal(new ItemCounters(2, 1, 500), (await engine.Items.GetAsync("heat", default))!.Counters);

            var ann = await engine.Users.GetAsync("ann", default);
            Assert.Equal((4, 2, 1, "25"), (ann.Version, ann.Impressions, ann.Clicks, ann.Attributes["age"]));
            Assert.Equal(new HistoryEntry("heat", "click", 900), Assert.Single(ann.History));
            Assert.Equal("40", (await engine.Users.GetAsync("bob", default)).Attributes["age"]);

            // What version 2 added holds for what version 1 stored: event IDs in order of arrival, and the version of the content.
            var receipt = await engine.Users.AppendAsync([Click("e2"), Click("e3"), Click("e4")], default);
            Assert.Equal((1, 2), (receipt.Accepted, receipt.Duplicates));
            Assert.Equal([(2L, "e2"), (3L, "e3"), (4L, "e4")], Arrivals());
            var old = new Representation("b", [1f], RepresentationSource.Computed);
            Assert.Equal([true, false], await engine.Items.SetRepresentationsAsync([new("alien", old, IfVersion: 4), new("alien", old, IfVersion: 3)], default));
            Assert.True((await engine.Items.UpsertAsync([new("new", new ItemContent(), null)], default))[0] > 12);
        }

        Assert.Equal(2L, Scalar("PRAGMA user_version"));
        Assert.Equal("ok", Scalar("PRAGMA integrity_check"));
        await (await OpenAsync()).DisposeAsync();

        static InteractionEvent Click(string id) => new(id, InteractionEvent.Click, "ann", "heat", 1000, null);
    }

    [Fact]
    public async Task Migrated_file_has_the_same_tables_as_a_new_one()
    {
        RunScript(Version1());
        await (await OpenAsync()).DisposeAsync();
        var migrated = Columns();
        File.Delete(DatabaseFile);
        await (await OpenAsync()).DisposeAsync();

        Assert.Equal(Columns(), migrated);
    }

    [Fact]
    public async Task Failed_migration_leaves_the_file_as_it_was()
    {
        // The name that the migration needs is taken.
        RunScript(Version1() + "CREATE TABLE arrival_1 (x INTEGER) STRICT;");

        await Assert.ThrowsAsync<StorageException>(OpenAsync);

        Assert.Equal(1L, Scalar("PRAGMA user_version"));
        Assert.Equal(0L, Scalar("SELECT count(*) FROM pragma_table_info('item') WHERE name = 'content_version'"));
        Assert.Equal(2L, Scalar("SELECT count(*) FROM arrival"));
    }

    [Fact]
    public async Task Newer_schema_is_refused_by_name_and_left_alone()
    {
        await (await OpenAsync()).DisposeAsync();
        RunScript("PRAGMA user_version = 7");

        var exception = await Assert.ThrowsAsync<StorageException>(OpenAsync);

        Assert.Equal(StorageException.Unreadable, exception.Code);
        Assert.Contains(DatabaseFile, exception.Message, StringComparison.Ordinal);
        Assert.Contains("schema version 7", exception.Message, StringComparison.Ordinal);
        Assert.Contains("1 to 2", exception.Message, StringComparison.Ordinal);
        Assert.Equal(7L, Scalar("PRAGMA user_version"));
    }

    [Fact]
    public async Task File_of_another_program_is_refused_and_left_alone()
    {
        RunScript("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
        var before = await File.ReadAllBytesAsync(DatabaseFile);

        var exception = await Assert.ThrowsAsync<StorageException>(OpenAsync);

        Assert.Equal(StorageException.Unreadable, exception.Code);
        Assert.Contains(DatabaseFile, exception.Message, StringComparison.Ordinal);
        Assert.Equal(before, await File.ReadAllBytesAsync(DatabaseFile));
    }

    [Theory]
    [InlineData(0, 4096)]
    [InlineData(4096, int.MaxValue)]
    public async Task Damaged_file_is_refused_by_name(int from, int length)
    {
        await using (var engine = await OpenAsync())
        {
            await engine.Items.UpsertAsync([.. Enumerable.Range(0, 500).Select(i => new ItemUpsert($"i{i}", new ItemContent { Title = "x" }, null))], default);
        }

        await using (var file = File.OpenWrite(DatabaseFile))
        {
            var noise = new byte[Math.Min(length, file.Length - from)];
            new Random(3).NextBytes(noise);
            file.Position = from;
            await file.WriteAsync(noise);
        }

        var exception = await Assert.ThrowsAsync<StorageException>(OpenAsync);

        Assert.Equal(StorageException.Unreadable, exception.Code);
        Assert.Contains(DatabaseFile, exception.Message, StringComparison.Ordinal);

        // A refusal lets go of the directory.
        await Assert.ThrowsAsync<StorageException>(OpenAsync);
    }

    public void Dispose() => _directory.Dispose();

    private static string Version1()
    {
        using var script = new StreamReader(typeof(SchemaTests).Assembly.GetManifestResourceStream("version-1.sql")!);
        return script.ReadToEnd();
    }

    private Task<EmbeddedEngine> OpenAsync() =>
        EmbeddedEngine.OpenAsync(new EmbeddedOptions { Directory = _directory.Path }, TimeProvider.System, NullLogger.Instance);

    private SqliteConnection Connect()
    {
        var connection = new SqliteConnection($"Data Source={DatabaseFile};Pooling=false");
        connection.Open();
        return connection;
    }

    private void RunScript(string sql)
    {
        using var connection = Connect();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    private object? Scalar(string sql)
    {
        using var connection = Connect();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }

    private List<(long Number, string Event)> Arrivals()
    {
        using var connection = Connect();
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT number, event FROM arrival ORDER BY number";
        using var reader = command.ExecuteReader();
        var rows = new List<(long, string)>();
        while (reader.Read())
        {
            rows.Add((reader.GetInt64(0), reader.GetString(1)));
        }

        return rows;
    }

    private List<string> Columns()
    {
        using var connection = Connect();
        using var command = connection.CreateCommand();
        command.CommandText = """
            SELECT t.name || '.' || c.cid || ' ' || c.name || ' ' || c.type || ' ' || c."notnull" || ' ' || c.pk || ' ' || t.wr || ' ' || t.strict
            FROM pragma_table_list t JOIN pragma_table_info(t.name) c WHERE t.schema = 'main' ORDER BY 1
            """;
        using var reader = command.ExecuteReader();
        var rows = new List<string>();
        while (reader.Read())
        {
            rows.Add(reader.GetString(0));
        }

        return rows;
    }
}
