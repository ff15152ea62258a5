using Microsoft.Extensions.Logging;
using RecBackend.Core.Storage;

namespace RecBackend.Embedded.Storage;

/// <summary>
/// The version of the state file's schema. The file says its own in <c>user_version</c>: an older one is brought up to date in one transaction, a newer one is refused,
/// because a program that does not know what it must keep would lose it.
/// </summary>
internal static class Schema
{
    public const int Current = 2;

    /// <summary>The script at place n leads from version n + 1 to n + 2.</summary>
    private static readonly string[] Migrations = [Sql.Schema.From1To2];

    /// <summary>Prepares the one connection that writes. A file that is refused is left as it was found.</summary>
    /// <exception cref="StorageException"><c>storage_unreadable</c>: the file is of a newer program, or not of this one at all.</exception>
    public static void Ensure(Database database, string file, ILogger logger)
    {
        var version = database.Scalar(Sql.Schema.ReadVersion);
        var isEmpty = database.Scalar(Sql.Schema.CountTables) == 0;
        if (!isEmpty && (version == 0 || database.Scalar(Sql.Schema.ReadApplication) != Sql.Schema.Application))
        {
            throw new StorageException(StorageException.Unreadable, $"{file} is a SQLite file, but not one of this engine. Choose another state directory.");
        }

        if (version > Current)
        {
            throw new StorageException(
                StorageException.Unreadable,
                $"{file} has schema version {version}, and this program knows versions 1 to {Current}. Run the program that wrote it, or a newer one.");
        }

        database.Execute(Sql.ConfigureWriter);
        if (database.Text(Sql.ReadJournalMode) != "wal")
        {
            throw new StorageException(
                StorageException.Unavailable, $"The file system of {file} cannot share memory between connections, as a network file system cannot. Use a local disk.");
        }

        if (version == Current)
        {
            return;
        }

        InTransaction(database, () =>
        {
            if (isEmpty)
            {
                database.Execute(Sql.Schema.Create);
                return;
            }

            foreach (var migration in Migrations.AsSpan((int)version - 1))
            {
                database.Execute(migration);
            }
        });
        if (!isEmpty)
        {
            logger.LogInformation("Migrated {File} from schema version {From} to {To}", file, version, Current);
        }
    }

    private static void InTransaction(Database database, Action change)
    {
        database.Execute(Sql.Begin);
        try
        {
            change();
            database.Execute(Sql.Commit);
        }
        catch
        {
            if (database.InTransaction)
            {
                database.Execute(Sql.Rollback);
            }

            throw;
        }
    }
}
