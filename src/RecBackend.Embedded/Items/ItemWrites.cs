using RecBackend.Core.Items;
using RecBackend.Core.Users;
using RecBackend.Embedded.Storage;

namespace RecBackend.Embedded.Items;

/// <summary>The writes to items, on the commit thread.</summary>
internal sealed class ItemWrites
{
    private readonly ItemTable _table;
    private readonly ItemRows _rows;
    private readonly ItemChangeFeed _feed;
    private readonly Statement _insert;
    private readonly Statement _updateVersions;
    private readonly Statement _updateCounters;
    private readonly Statement _delete;
    private readonly Statement _writeContent;
    private readonly Statement _deleteContent;
    private readonly Statement _writeRepresentation;
    private readonly Statement _deleteRepresentations;
    private readonly Statement _trimRepresentations;
    private readonly Statement _lastKey;
    private readonly Statement _writeSequence;
    private readonly HashSet<string> _counted = new(StringComparer.Ordinal);
    private readonly List<ItemChange> _changes = [];

    public ItemWrites(Database database, ItemTable table, ItemChangeFeed feed)
    {
        _table = table;
        _feed = feed;
        _rows = new ItemRows(database);
        _insert = database.Prepare(Sql.Items.Insert);
        _updateVersions = database.Prepare(Sql.Items.UpdateVersions);
        _updateCounters = database.Prepare(Sql.Items.UpdateCounters);
        _delete = database.Prepare(Sql.Items.Delete);
        _writeContent = database.Prepare(Sql.Items.WriteContent);
        _deleteContent = database.Prepare(Sql.Items.DeleteContent);
        _writeRepresentation = database.Prepare(Sql.Items.WriteRepresentation);
        _deleteRepresentations = database.Prepare(Sql.Items.DeleteRepresentations);
        _trimRepresentations = database.Prepare(Sql.Items.TrimRepresentations);
        _lastKey = database.Prepare(Sql.Items.LastKey);
        _writeSequence = database.Prepare(Sql.Items.WriteSequence);
    }

    public bool Exists(string id) => _table.TryGet(id, out _);

    /// <summary>Counts an event of an item that exists. The row is written once for all events of the transaction, by <see cref="Flush"/>.</summary>
    public void Count(InteractionEvent interaction)
    {
        _table.TryGet(interaction.Item, out var entry);
        _table.Set(interaction.Item, entry with { Counters = entry.Counters.After(interaction.Type, interaction.Timestamp) });
        _counted.Add(interaction.Item);
    }

    /// <summary>Inserts or replaces; returns the item's new version.</summary>
    public long Upsert(ItemUpsert write)
    {
        var before = _table.TryGet(write.Id, out var entry) ? new ItemState(_rows.Read(write.Id, entry), entry.ContentVersion) : null;
        var after = ItemState.Upsert(before, write, _table.NextVersion());
        var version = after.Record.Version;
        if (before is null)
        {
            entry = new(_insert.Bind(1, write.Id).Bind(2, version).Scalar(), version, version, after.Record.Counters);
        }
        else
        {
            entry = entry with { Version = version, ContentVersion = version };
            _updateVersions.Bind(1, entry.Key).Bind(2, version).Bind(3, version).Run();
            _deleteRepresentations.Bind(1, entry.Key).Run();
        }

        _writeContent
            .Bind(1, entry.Key)
            .BindText(2, StoredContent.Write(write.Content))
            .Bind(3, write.Content.Image)
            .Bind(4, write.Content.ImageFeatures)
            .Run();
        foreach (var representation in after.Record.Representations)
        {
            Write(entry.Key, representation);
        }

        _table.Set(write.Id, entry);
        Tell(after.Record);
        return version;
    }

    /// <summary>False if there is no such item, or <see cref="ItemState.WithRepresentation"/> refuses the representation.</summary>
    public bool SetRepresentation(RepresentationUpdate update)
    {
        if (!_table.TryGet(update.Id, out var entry) || update.IfVersion < entry.ContentVersion)
        {
            return false;
        }

        var before = new ItemState(_rows.Read(update.Id, entry), entry.ContentVersion);
        if (before.WithRepresentation(update, _table.NextVersion()) is not { } after)
        {
            return false;
        }

        if (after == before)
        {
            return true;
        }

        var version = after.Record.Version;
        _updateVersions.Bind(1, entry.Key).Bind(2, version).Bind(3, entry.ContentVersion).Run();
        Write(entry.Key, update.Representation);
        _table.Set(update.Id, entry with { Version = version });
        Tell(after.Record);
        return true;
    }

    /// <summary>False if there is no such item.</summary>
    public bool Delete(string id)
    {
        if (!_table.TryGet(id, out var entry))
        {
            return false;
        }

        _deleteRepresentations.Bind(1, entry.Key).Run();
        _deleteContent.Bind(1, entry.Key).Run();
        _delete.Bind(1, entry.Key).Run();
        _table.Remove(id);
        _counted.Remove(id);
        _changes.Add(new(id, _table.NextVersion(), ItemChangeKind.Deleted, null, ItemCounters.None));
        return true;
    }

    /// <summary>
    /// Drops representations of the items with keys from <paramref name="from"/> on, <paramref name="count"/> of them. Versions stay: no row of a bundle that is kept changes.
    /// </summary>
    /// <returns>Whether there are items beyond.</returns>
    public bool TrimRepresentations(long from, int count, string keepJson)
    {
        var to = from + count - 1;
        _trimRepresentations.Bind(1, from).Bind(2, to).Bind(3, keepJson).Run();
        return to < _lastKey.Scalar();
    }

    /// <summary>Writes counters and the version sequence, before the commit.</summary>
    public void Flush()
    {
        foreach (var id in _counted)
        {
            _table.TryGet(id, out var entry);
            var counters = entry.Counters;
            var version = _table.NextVersion();
            _updateCounters
                .Bind(1, entry.Key)
                .Bind(2, version)
                .Bind(3, counters.Impressions)
                .Bind(4, counters.Clicks)
                .Bind(5, counters.FirstSeen == ItemCounters.NeverSeen ? null : counters.FirstSeen)
                .Run();
            _table.Set(id, entry with { Version = version });
            _changes.Add(new(id, version, ItemChangeKind.Counted, null, counters));
        }

        _counted.Clear();
        if (_table.HasNewVersions)
        {
            _writeSequence.Bind(1, _table.Version).Run();
        }
    }

    /// <summary>After the commit.</summary>
    public void Publish()
    {
        _table.Commit();
        _feed.Publish(_changes);
        _changes.Clear();
    }

    public void Rollback()
    {
        _table.Rollback();
        _counted.Clear();
        _changes.Clear();
    }

    private void Write(long key, Representation representation) =>
        _writeRepresentation.Bind(1, key).Bind(2, representation.Bundle).Bind(3, (long)representation.Source).Bind(4, representation.Values).Run();

    private void Tell(ItemRecord record) => _changes.Add(new(record.Id, record.Version, ItemChangeKind.Written, record, record.Counters));
}
