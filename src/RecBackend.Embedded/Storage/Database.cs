using Microsoft.Data.Sqlite;
using RecBackend.Core.Storage;
using SQLitePCL;

namespace RecBackend.Embedded.Storage;

/// <summary>One connection to the state file. Not thread-safe.</summary>
internal sealed class Database : IDisposable
{
    private readonly SqliteConnection _connection;
    private readonly List<Statement> _statements = [];
    private Statement? _beginRead;
    private Statement? _endRead;

    private Database(SqliteConnection connection) => _connection = connection;

    private sqlite3 Handle => _connection.Handle!;

    /// <summary>Whether a transaction is open. SQLite ends one by itself on some errors.</summary>
    public bool InTransaction => raw.sqlite3_get_autocommit(Handle) == 0;

    /// <summary>Opens the one connection that writes; creates the file if there is none. <see cref="Schema.Ensure"/> prepares it.</summary>
    public static Database OpenWriter(string file) => Open(file, SqliteOpenMode.ReadWriteCreate, configuration: "");

    /// <summary>Opens a connection that sees, in each of its transactions, one moment of the file.</summary>
    public static Database OpenReader(string file) => Open(file, SqliteOpenMode.ReadWrite, Sql.ConfigureReader);

    /// <summary>Prepares a statement that lives as long as the connection.</summary>
    public Statement Prepare(string sql)
    {
        var statement = new Statement(Handle, sql);
        _statements.Add(statement);
        return statement;
    }

    /// <summary>Runs a script.</summary>
    public void Execute(string script)
    {
        var result = raw.sqlite3_exec(Handle, script);
        if (result != raw.SQLITE_OK)
        {
            throw StorageFault.Of(Handle, result);
        }
    }

    /// <summary>Starts a transaction that sees one moment of the file; disposing ends it.</summary>
    public ReadScope BeginRead()
    {
        (_beginRead ??= Prepare(Sql.BeginRead)).Run();
        return new ReadScope(_endRead ??= Prepare(Sql.Commit));
    }

    public long Scalar(string sql)
    {
        using var statement = new Statement(Handle, sql);
        return statement.Scalar();
    }

    public string Text(string sql)
    {
        using var statement = new Statement(Handle, sql);
        return statement.Step() ? statement.Text(0) : "";
    }

    /// <summary>
    /// Empties the log, so that what was deleted is in no page that SQLite still holds.
    /// Does not wait: false if a reader stands in the way.
    /// </summary>
    public bool TryTruncateLog()
    {
        raw.sqlite3_busy_timeout(Handle, 0);
        try
        {
            return Scalar(Sql.TruncateLog) == 0;
        }
        finally
        {
            raw.sqlite3_busy_timeout(Handle, 3000);
        }
    }

    public void Dispose()
    {
        foreach (var statement in _statements)
        {
            statement.Dispose();
        }

        _connection.Dispose();
    }

    private static Database Open(string file, SqliteOpenMode mode, string configuration)
    {
        // No pooling: a pooled connection would keep the file open after the engine has given the directory up.
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = file, Mode = mode, Pooling = false }.ToString());
        try
        {
            connection.Open();
            var database = new Database(connection);
            database.Execute(configuration);
            return database;
        }
        catch (Exception exception)
        {
            connection.Dispose();
            throw exception switch
            {
                SqliteException sqlite => Located(file, StorageFault.Of(sqlite)),
                StorageException storage => Located(file, storage),
                _ => exception,
            };
        }
    }

    private static StorageException Located(string file, StorageException fault) => new(fault.Code, $"{file}: {fault.Message}", fault);

    /// <summary>A read transaction.</summary>
    internal readonly struct ReadScope(Statement end) : IDisposable
    {
        public void Dispose() => end.Run();
    }
}
