using RecBackend.Bench.Measuring;
using RecBackend.Cli;
using RecBackend.Client;

namespace RecBackend.Bench.DataSets;

/// <summary>Loads data over HTTP, as a user does.</summary>
internal static class DataSetLoading
{
    private const int Batch = 1_000;

    /// <summary>Stores items and users and tells the events. Those of a user come together: a cluster writes each user of a batch once.</summary>
    /// <exception cref="CommandException">Something is rejected.</exception>
    public static async Task LoadAsync(this DataSet data, Uri host, CancellationToken cancellation)
    {
        using var client = new RecBackendClient(host);
        await InBatchesAsync("loading items", data.Items.Select(Item), client.PutItemsAsync, cancellation);
        await InBatchesAsync("loading users", data.Users.Select(user => new UserProfile(user.Id, user.Attributes)), client.PutUsersAsync, cancellation);
        var events = data.Impressions.SelectMany((impression, row) => impression.Events(row)).GroupBy(one => one.User).SelectMany(ofUser => ofUser).Select(Event);
        await InBatchesAsync("telling events", events, client.SendEventsAsync, cancellation);
    }

    private static async Task InBatchesAsync<T>(string what, IEnumerable<T> all, Func<IReadOnlyList<T>, CancellationToken, Task<BatchReceipt>> send, CancellationToken cancellation)
    {
        var batches = all.Chunk(Batch).ToArray();
        var progress = new ProgressLines(what, batches.Sum(batch => batch.Length));
        var sent = 0;
        foreach (var batch in batches)
        {
            var receipt = await send(batch, cancellation);
            if (receipt.RejectedCount > 0)
            {
                throw new CommandException($"{what}: {receipt.RejectedCount} were rejected, the first with {receipt.Rejected[0].Code}");
            }

            progress.At(sent += batch.Length);
        }

        progress.Done();
    }

    private static Item Item(Core.Items.ItemWrite item) => new()
    {
        Id = item.Id,
        Title = item.Content.Title,
        Text = item.Content.Text,
        Categories = item.Content.Categories,
        Tags = item.Content.Tags,
        Attributes = item.Content.Attributes,
        ImageFeatures = item.Content.ImageFeatures,
    };

    private static InteractionEvent Event(Core.Users.InteractionEvent one) => new() { EventId = one.EventId, Type = one.Type, User = one.User, Item = one.Item, Timestamp = one.Timestamp / 1000.0 };
}
