using RecBackend.Cli.Data;
using RecBackend.Cli.Terminal;
using RecBackend.Client;

namespace RecBackend.Cli.Loading;

/// <summary>Tells a server the rows of a data set that lie before its test part, in their order.</summary>
internal static class HistoryLoader
{
    private const int BatchRows = 1000;

    /// <summary>Loads the rows from <paramref name="firstRow"/> up to the test part.</summary>
    /// <param name="client">The server.</param>
    /// <param name="path">File of the rows, for messages.</param>
    /// <param name="rows">All rows of the data.</param>
    /// <param name="split">Says where the test part begins.</param>
    /// <param name="source">Makes the events.</param>
    /// <param name="firstRow">Rows before it were loaded earlier.</param>
    /// <param name="loaded">Called after each batch with the number of rows that are now durable.</param>
    /// <param name="cancellation">Stops between batches.</param>
    public static async Task LoadAsync(
        RecBackendClient client,
        string path,
        IReadOnlyList<EventRow> rows,
        Split split,
        EventSource source,
        int firstRow,
        Action<int> loaded,
        CancellationToken cancellation)
    {
        var total = split.FirstRanked - firstRow;
        if (total <= 0)
        {
            return;
        }

        var rejections = new Rejections(path);
        await LongWork.RunAsync("loading history", total, async report =>
        {
            var events = new List<InteractionEvent>();
            for (var start = firstRow; start < split.FirstRanked; start += BatchRows)
            {
                events.Clear();
                var end = Math.Min(start + BatchRows, split.FirstRanked);
                for (var row = start; row < end; row++)
                {
                    if (split.IsTold(row))
                    {
                        source.Add(events, row, rows[row]);
                    }
                }

                if (events.Count > 0)
                {
                    var receipt = await client.SendEventsAsync(events, cancellation);
                    rejections.Add(receipt, index => events[(int)index].EventId);
                }

                loaded(end);
                report(end - firstRow);
            }
        });
        rejections.Report();
    }
}
