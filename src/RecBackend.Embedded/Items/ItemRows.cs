using System.Text;
using RecBackend.Core.Items;
using RecBackend.Core.Storage;
using RecBackend.Embedded.Storage;

namespace RecBackend.Embedded.Items;

/// <summary>Reads items on one connection.</summary>
internal sealed class ItemRows(Database database)
{
    private readonly Statement _read = database.Prepare(Sql.Items.Read);
    private readonly Statement _readContent = database.Prepare(Sql.Items.ReadContent);
    private readonly Statement _readRepresentations = database.Prepare(Sql.Items.ReadRepresentations);
    private readonly BundleNames _bundles = new();

    /// <summary>The item as this connection's transaction sees it, or null.</summary>
    public ItemRecord? Read(string id)
    {
        if (!_read.Bind(1, id).Step())
        {
            return null;
        }

        var entry = new ItemEntry(_read.Int64(0), _read.Int64(1), ContentVersion: 0, ReadCounters(_read, 2));
        _read.Reset();
        return Read(id, entry);
    }

    /// <summary>The item whose entry is known.</summary>
    public ItemRecord Read(string id, in ItemEntry entry)
    {
        if (!_readContent.Bind(1, entry.Key).Step())
        {
            throw new StorageException(StorageException.Unreadable, $"Item '{id}' has no content: the state file is damaged. Restore it from a backup.");
        }

        var content = ReadContent(_readContent, 0);
        _readContent.Reset();
        var representations = new List<Representation>();
        _readRepresentations.Bind(1, entry.Key);
        while (_readRepresentations.Step())
        {
            representations.Add(ReadRepresentation(_readRepresentations, 0, _bundles));
        }

        return new(id, entry.Version, content, entry.Counters, representations);
    }

    public static ItemCounters ReadCounters(Statement row, int column) =>
        new(row.Int64(column), row.Int64(column + 1), row.IsNull(column + 2) ? ItemCounters.NeverSeen : row.Int64(column + 2));

    public static ItemContent ReadContent(Statement row, int column) =>
        StoredContent.Read(row.Bytes(column), row.BytesOrNull(column + 1), row.VectorOrNull(column + 2));

    public static Representation ReadRepresentation(Statement row, int column, BundleNames bundles) =>
        new(bundles.Get(row.Bytes(column)), row.VectorOrNull(column + 2) ?? [], (RepresentationSource)row.Int64(column + 1));
}

/// <summary>Bundle versions as strings that are made once, instead of once for each of a million representations.</summary>
internal sealed class BundleNames
{
    private readonly List<(byte[] Utf8, string Name)> _known = [];

    public string Get(ReadOnlySpan<byte> utf8)
    {
        foreach (var (bytes, known) in _known)
        {
            if (utf8.SequenceEqual(bytes))
            {
                return known;
            }
        }

        var name = Encoding.UTF8.GetString(utf8);
        if (_known.Count < 64)
        {
            _known.Add((utf8.ToArray(), name));
        }

        return name;
    }
}
