using RecBackend.Client;

namespace RecBackend.Cli.Loading;

/// <summary>Entries that the server refused while the others were stored: the first few are shown, all are counted.</summary>
internal sealed class Rejections(string source)
{
    private const int Shown = 10;

    private int _shown;

    /// <summary>How many there were.</summary>
    public long Count { get; private set; }

    /// <summary>Adds what a receipt refused.</summary>
    /// <param name="receipt">The receipt.</param>
    /// <param name="place">Says where the entry of an index came from, such as a line.</param>
    public void Add(BatchReceipt receipt, Func<long, string> place)
    {
        Count += receipt.RejectedCount;
        foreach (var entry in receipt.Rejected)
        {
            if (_shown++ < Shown)
            {
                Console.Error.WriteLine($"rec: {source}:{place(entry.Index)}: rejected: {entry.Code}{(entry.Detail is null ? "" : $", {entry.Detail}")}");
            }
        }
    }

    /// <summary>Says how many there were in all, if they were not all shown.</summary>
    public void Report()
    {
        if (Count > Shown)
        {
            Console.Error.WriteLine($"rec: {source}: {Count} rejected in all");
        }
    }
}
