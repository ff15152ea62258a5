using Microsoft.Extensions.Logging;
using RecBackend.Core.Storage;
using RecBackend.Core.Users;
using RecBackend.Embedded.Items;
using RecBackend.Embedded.Storage;
using RecBackend.Embedded.Users;

namespace RecBackend.Embedded;

/// <summary>
/// One SQLite transaction over users and items, with the memory that goes along: what is not committed is seen by nobody, what is rolled back was never there.
/// For the commit thread alone.
/// </summary>
internal sealed class EngineTransaction : ITransaction
{
    private readonly Database _database;
    private readonly ILogger _logger;
    private readonly Statement _begin;
    private readonly Statement _commit;
    private readonly Statement _rollback;
    private bool _erased;

    // Whether the log may still hold pages of erased users.
    private bool _mustTruncateLog;

    public EngineTransaction(Database database, UserWrites users, ItemWrites items, ILogger logger)
    {
        _database = database;
        _logger = logger;
        _begin = database.Prepare(Sql.Begin);
        _commit = database.Prepare(Sql.Commit);
        _rollback = database.Prepare(Sql.Rollback);
        Users = users;
        Items = items;
    }

    public UserWrites Users { get; }

    public ItemWrites Items { get; }

    /// <summary>Applies events in order: each is new, a duplicate, or of an unknown item.</summary>
    public EventReceipt Append(IReadOnlyList<InteractionEvent> events)
    {
        var accepted = 0;
        var duplicates = 0;
        List<RejectedEntry>? rejected = null;
        for (var i = 0; i < events.Count; i++)
        {
            var interaction = events[i];
            if (!Items.Exists(interaction.Item))
            {
                // An event that was accepted stays accepted when it is sent again after its item was deleted.
                if (Users.Knows(interaction))
                {
                    duplicates++;
                }
                else
                {
                    (rejected ??= []).Add(new(i, "item_unknown", $"There is no item '{interaction.Item}'."));
                }
            }
            else if (Users.Append(interaction))
            {
                Items.Count(interaction);
                accepted++;
            }
            else
            {
                duplicates++;
            }
        }

        return new(accepted, duplicates, rejected ?? (IReadOnlyList<RejectedEntry>)[]);
    }

    public bool Erase(string user)
    {
        var known = Users.Erase(user);
        _erased |= known;
        return known;
    }

    public void Begin() => _begin.Run();

    public void Commit()
    {
        Users.Flush();
        Items.Flush();
        _commit.Run();
    }

    public void Rollback()
    {
        Users.Rollback();
        Items.Rollback();
        _erased = false;

        // SQLite has ended the transaction already after some errors, such as a full disk.
        if (_database.InTransaction)
        {
            _rollback.Run();
        }
    }

    public void Publish()
    {
        Users.Publish();
        Items.Publish();
        _mustTruncateLog |= _erased;
        _erased = false;
        TruncateLogIfDue();
    }

    /// <summary>
    /// Removes erased users from the log. In the database file secure_delete has overwritten them, but the log holds the pages of before until it is emptied.
    /// A reader may stand in the way: then a later commit, or the next sweep, does it.
    /// </summary>
    public void TruncateLogIfDue()
    {
        if (!_mustTruncateLog)
        {
            return;
        }

        try
        {
            _mustTruncateLog = !_database.TryTruncateLog();
        }
        catch (StorageException exception)
        {
            _logger.LogWarning(exception, "The log could not be emptied after an erasure; it will be tried again");
        }
    }
}
