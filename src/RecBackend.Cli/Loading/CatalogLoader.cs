using System.Globalization;
using RecBackend.Cli.Data;
using RecBackend.Cli.Terminal;
using RecBackend.Client;

namespace RecBackend.Cli.Loading;

/// <summary>Loads items and user profiles from files of the neutral form, in batches.</summary>
internal static class CatalogLoader
{
    private const int BatchEntries = 200;
    private const int BatchImageBytes = 4 << 20;

    /// <summary>Loads all items of <paramref name="path"/>; sending them again leaves them as they are.</summary>
    /// <returns>How many were stored, and how many refused.</returns>
    public static async Task<(long Stored, long Rejected)> LoadItemsAsync(RecBackendClient client, string path, CancellationToken cancellation)
    {
        var batches = Batches(ItemsFile.ReadItems(path), entry => entry.Item.Image?.Length ?? 0);
        return await LoadAsync(
            "loading items", path, batches, entry => entry.Line, batch => client.PutItemsAsync([.. batch.Select(entry => entry.Item)], cancellation));
    }

    /// <summary>Loads all user profiles of <paramref name="path"/>.</summary>
    /// <returns>How many were stored, and how many refused.</returns>
    public static async Task<(long Stored, long Rejected)> LoadUsersAsync(RecBackendClient client, string path, CancellationToken cancellation)
    {
        var batches = Batches(ItemsFile.ReadUsers(path), _ => 0);
        return await LoadAsync(
            "loading users", path, batches, entry => entry.Line, batch => client.PutUsersAsync([.. batch.Select(entry => entry.User)], cancellation));
    }

    private static async Task<(long Stored, long Rejected)> LoadAsync<T>(
        string what, string path, IEnumerable<List<T>> batches, Func<T, int> line, Func<List<T>, Task<BatchReceipt>> send)
    {
        var rejections = new Rejections(path);
        var sent = 0;
        await LongWork.RunAsync(what, ItemsFile.CountLines(path), async report =>
        {
            foreach (var batch in batches)
            {
                var receipt = await send(batch);
                rejections.Add(receipt, index => line(batch[(int)index]).ToString(CultureInfo.InvariantCulture));
                report(sent += batch.Count);
            }
        });
        rejections.Report();
        return (sent - rejections.Count, rejections.Count);
    }

    private static IEnumerable<List<T>> Batches<T>(IEnumerable<T> entries, Func<T, int> size)
    {
        var batch = new List<T>();
        var bytes = 0;
        foreach (var entry in entries)
        {
            batch.Add(entry);
            bytes += size(entry);
            if (batch.Count == BatchEntries || bytes >= BatchImageBytes)
            {
                yield return batch;
                batch = [];
                bytes = 0;
            }
        }

        if (batch.Count > 0)
        {
            yield return batch;
        }
    }
}
