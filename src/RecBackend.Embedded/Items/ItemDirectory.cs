using System.Text.Json;
using System.Text.Json.Serialization;
using RecBackend.Core.Items;
using RecBackend.Embedded.Storage;

namespace RecBackend.Embedded.Items;

/// <summary>The engine's items: reads from the state file, writes through the commit thread.</summary>
internal sealed class ItemDirectory(string file, ItemTable table, ReadSessions reads, GroupCommit commits, EngineTransaction transaction) : IItemDirectory
{
    /// <summary>Items whose representations are trimmed in one transaction, so that other writers are not held up.</summary>
    private const int TrimStep = 4096;

    public ValueTask<ItemRecord?> GetAsync(string id, CancellationToken cancellation) =>
        reads.ReadAsync(id, static (session, id) => session.Items.Read(id), cancellation);

    public async ValueTask<IReadOnlyList<long>> UpsertAsync(IReadOnlyList<ItemUpsert> items, CancellationToken cancellation) =>
        await commits.RunAsync(items.Count, () => Each(items, transaction.Items.Upsert), cancellation);

    public async ValueTask<IReadOnlyList<bool>> SetRepresentationsAsync(IReadOnlyList<RepresentationUpdate> updates, CancellationToken cancellation) =>
        await commits.RunAsync(updates.Count, () => Each(updates, transaction.Items.SetRepresentation), cancellation);

    public async ValueTask<IReadOnlyList<bool>> DeleteAsync(IReadOnlyList<string> ids, CancellationToken cancellation) =>
        await commits.RunAsync(ids.Count, () => Each(ids, transaction.Items.Delete), cancellation);

    public async ValueTask TrimRepresentationsAsync(IReadOnlyCollection<string> keep, CancellationToken cancellation)
    {
        var keepJson = JsonSerializer.Serialize([.. keep], BundleListJson.Default.StringArray);
        for (var from = 1L; ; from += TrimStep)
        {
            var start = from;
            if (!await commits.RunAsync(1, () => transaction.Items.TrimRepresentations(start, TrimStep, keepJson), cancellation))
            {
                return;
            }
        }
    }

    public ValueTask<long> CountAsync(CancellationToken cancellation) => new(table.Count);

    public IAsyncEnumerable<ItemRecord> ReadAllAsync(CancellationToken cancellation) => ItemScan.ReadAllAsync(file, cancellation);

    private static TResult[] Each<T, TResult>(IReadOnlyList<T> entries, Func<T, TResult> write)
    {
        var results = new TResult[entries.Count];
        for (var i = 0; i < results.Length; i++)
        {
            results[i] = write(entries[i]);
        }

        return results;
    }
}

[JsonSerializable(typeof(string[]))]
internal sealed partial class BundleListJson : JsonSerializerContext;
