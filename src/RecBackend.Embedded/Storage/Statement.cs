using System.Runtime.InteropServices;
using System.Text;
using SQLitePCL;

namespace RecBackend.Embedded.Storage;

/// <summary>
/// A prepared statement that is bound and run again and again. Values come and go as spans: no parameter objects, no boxing, and a column's bytes are read where SQLite has them.
/// Usage: <c>statement.Bind(1, id).Run()</c>, or <c>Bind</c>, <c>while (Step()) …</c>, <c>Reset</c>. Not thread-safe.
/// </summary>
internal sealed class Statement : IDisposable
{
    private readonly sqlite3 _database;
    private readonly sqlite3_stmt _statement;

    public Statement(sqlite3 database, string sql)
    {
        _database = database;
        Check(raw.sqlite3_prepare_v3(database, sql, raw.SQLITE_PREPARE_PERSISTENT, out _statement));
    }

    public Statement Bind(int parameter, long value)
    {
        Check(raw.sqlite3_bind_int64(_statement, parameter, value));
        return this;
    }

    public Statement Bind(int parameter, long? value)
    {
        Check(value is { } number ? raw.sqlite3_bind_int64(_statement, parameter, number) : raw.sqlite3_bind_null(_statement, parameter));
        return this;
    }

    public Statement Bind(int parameter, string? text)
    {
        if (text is null)
        {
            Check(raw.sqlite3_bind_null(_statement, parameter));
            return this;
        }

        Span<byte> small = stackalloc byte[512];
        var utf8 = text.Length * 3 <= small.Length ? small[..Encoding.UTF8.GetBytes(text, small)] : Encoding.UTF8.GetBytes(text);
        return BindText(parameter, utf8);
    }

    public Statement BindText(int parameter, ReadOnlySpan<byte> utf8)
    {
        Check(raw.sqlite3_bind_text(_statement, parameter, utf8));
        return this;
    }

    /// <summary>Binds bytes, or null for no array. SQLite copies them.</summary>
    public Statement Bind(int parameter, byte[]? bytes)
    {
        Check(bytes is null ? raw.sqlite3_bind_null(_statement, parameter) : raw.sqlite3_bind_blob(_statement, parameter, bytes));
        return this;
    }

    /// <summary>Binds a vector as 32-bit floats in the machine's byte order, which is little-endian on every machine that .NET serves on.</summary>
    public Statement Bind(int parameter, float[]? vector)
    {
        Check(vector is null
            ? raw.sqlite3_bind_null(_statement, parameter)
            : raw.sqlite3_bind_blob(_statement, parameter, MemoryMarshal.AsBytes(vector.AsSpan())));
        return this;
    }

    /// <summary>Moves to the next row; false after the last one, when the statement is ready to be bound again.</summary>
    public bool Step()
    {
        var result = raw.sqlite3_step(_statement);
        if (result == raw.SQLITE_ROW)
        {
            return true;
        }

        // Reset before the check: a statement left in the middle would keep its transaction open.
        var reset = raw.sqlite3_reset(_statement);
        Check(result == raw.SQLITE_DONE ? reset : result);
        return false;
    }

    /// <summary>Runs to the end and returns how many rows an INSERT, UPDATE or DELETE changed.</summary>
    public int Run()
    {
        while (Step())
        {
        }

        return raw.sqlite3_changes(_database);
    }

    /// <summary>Runs a query of one number.</summary>
    public long Scalar()
    {
        if (!Step())
        {
            throw new InvalidOperationException("The query has no row.");
        }

        var value = Int64(0);
        Reset();
        return value;
    }

    /// <summary>Ends a query before its last row.</summary>
    public void Reset() => Check(raw.sqlite3_reset(_statement));

    public bool IsNull(int column) => raw.sqlite3_column_type(_statement, column) == raw.SQLITE_NULL;

    public long Int64(int column) => raw.sqlite3_column_int64(_statement, column);

    public string Text(int column) => Encoding.UTF8.GetString(Bytes(column));

    /// <summary>The column's bytes (of text: UTF-8), valid until the next step.</summary>
    public ReadOnlySpan<byte> Bytes(int column) => raw.sqlite3_column_blob(_statement, column);

    public byte[]? BytesOrNull(int column) => IsNull(column) ? null : Bytes(column).ToArray();

    public float[]? VectorOrNull(int column) => IsNull(column) ? null : MemoryMarshal.Cast<byte, float>(Bytes(column)).ToArray();

    public void Dispose() => _statement.Dispose();

    private void Check(int result)
    {
        if (result != raw.SQLITE_OK)
        {
            throw StorageFault.Of(_database, result);
        }
    }
}
