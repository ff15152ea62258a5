using Microsoft.Data.Sqlite;
using RecBackend.Core.Storage;
using SQLitePCL;

namespace RecBackend.Embedded.Storage;

/// <summary>Turns what SQLite reports into a <see cref="StorageException"/> that says what to do.</summary>
internal static class StorageFault
{
    public static StorageException Of(sqlite3 database, int result)
    {
        var extended = raw.sqlite3_extended_errcode(database);
        return Of(result, extended, raw.sqlite3_errmsg(database).utf8_to_string(), null);
    }

    public static StorageException Of(SqliteException exception) =>
        Of(exception.SqliteErrorCode, exception.SqliteExtendedErrorCode, exception.Message, exception);

    private static StorageException Of(int result, int extended, string message, Exception? inner)
    {
        var (code, advice) = (result & 0xFF, extended) switch
        {
            (raw.SQLITE_FULL, _) or (_, raw.SQLITE_IOERR_SHMSIZE) =>
                (StorageException.Full, "No space is left on the device that holds the state directory. Free some; nothing needs a restart."),
            (raw.SQLITE_BUSY or raw.SQLITE_LOCKED, _) =>
                (StorageException.Unavailable, "Another process holds a lock on the state file. End it, for example a sqlite3 shell."),
            (raw.SQLITE_READONLY or raw.SQLITE_PERM or raw.SQLITE_CANTOPEN, _) =>
                (StorageException.Unavailable, "The state file cannot be opened for writing. Check the directory's owner, its mode, and that it is not mounted read-only."),
            (raw.SQLITE_CORRUPT or raw.SQLITE_NOTADB, _) =>
                (StorageException.Unreadable, "The state file is damaged. Restore it from a backup; `sqlite3 FILE .recover` may save a part of it."),
            _ => (StorageException.Unavailable, "The state file cannot be read or written."),
        };
        return new StorageException(code, $"{advice} (SQLite {result}/{extended}: {message})", inner);
    }
}
