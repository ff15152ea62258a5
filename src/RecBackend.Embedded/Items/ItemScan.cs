using System.Runtime.CompilerServices;
using RecBackend.Core.Items;
using RecBackend.Embedded.Storage;

namespace RecBackend.Embedded.Items;

/// <summary>
/// Reads every item of one moment: a merge of two cursors that both run along the items' keys, on a connection of its own. Writers go on meanwhile;
/// the log cannot be emptied until the scan ends.
/// </summary>
internal static class ItemScan
{
    public static async IAsyncEnumerable<ItemRecord> ReadAllAsync(string file, [EnumeratorCancellation] CancellationToken cancellation)
    {
        using var database = Database.OpenReader(file);
        using var moment = database.BeginRead();
        var items = database.Prepare(Sql.Items.Scan);
        var representations = database.Prepare(Sql.Items.ScanRepresentations);
        var bundles = new BundleNames();
        var more = representations.Step();
        var sinceYield = 0;
        try
        {
            while (items.Step())
            {
                var key = items.Int64(0);
                while (more && representations.Int64(0) < key)
                {
                    more = representations.Step();
                }

                List<Representation> own = [];
                while (more && representations.Int64(0) == key)
                {
                    own.Add(ItemRows.ReadRepresentation(representations, 1, bundles));
                    more = representations.Step();
                }

                yield return new ItemRecord(items.Text(1), items.Int64(2), ItemRows.ReadContent(items, 6), ItemRows.ReadCounters(items, 3), own);

                // Reads of SQLite block: let others have the thread now and then.
                if (++sinceYield == 1024)
                {
                    sinceYield = 0;
                    cancellation.ThrowIfCancellationRequested();
                    await Task.Yield();
                }
            }
        }
        finally
        {
            // The consumer may stop anywhere; a transaction cannot end under a running query.
            items.Reset();
            representations.Reset();
        }
    }
}
