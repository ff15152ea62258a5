using System.Text.Json;

namespace RecBackend.Cli.Data;

/// <summary>What an evaluation does with each row of the events: rank it, tell it afterwards, both, or neither.</summary>
internal sealed class Split
{
    private readonly bool[] _ranked;
    private readonly bool[] _told;

    private Split(bool[] ranked, bool[] told)
    {
        _ranked = ranked;
        _told = told;
        FirstRanked = Array.IndexOf(ranked, true);
    }

    /// <summary>The first row of the test part. The rows before it are history.</summary>
    public int FirstRanked { get; }

    /// <summary>Whether the row is of the test part.</summary>
    public bool IsRanked(int row) => _ranked[row];

    /// <summary>Whether the row becomes history. Rows of an item that the split holds out do not: training had them in nobody's history.</summary>
    public bool IsTold(int row) => _told[row];

    /// <summary>Reads the split of a data set; without a file the last tenth is the test part.</summary>
    /// <exception cref="DataException">The file is not a split, or leaves no row to test.</exception>
    public static Split Read(DataFolder data, IReadOnlyList<EventRow> rows)
    {
        var split = data.Split is null ? ByTenths(rows.Count) : Read(data.Split, rows);
        return split.FirstRanked >= 0 ? split : throw new DataException(data.Split ?? data.Events, "leaves no row for the test part");
    }

    private static Split Read(string path, IReadOnlyList<EventRow> rows)
    {
        SplitFile? file;
        try
        {
            file = JsonSerializer.Deserialize(File.ReadAllText(path), DataJson.Default.SplitFile);
        }
        catch (JsonException e)
        {
            throw new DataException(path, (int)(e.LineNumber ?? 0) + 1, $"is not a split: {e.Message}", e);
        }

        return file switch
        {
            { ValidFrom: not null, TestFrom: { } testFrom, TestItems: null, ValidItems: null, WarmRows: null } => ByTime(rows, testFrom),
            { ValidFrom: null, TestFrom: null, TestItems: { } items } => ByItems(rows, items, file.ValidItems ?? [], file.WarmRows ?? 0),
            _ => throw new DataException(
                path, 1, """must be {"valid_from": t, "test_from": t} or {"test_items": [ids], "valid_items": [ids], "warm_rows": n}"""),
        };
    }

    private static Split ByTenths(int rows)
    {
        var ranked = new bool[rows];
        Array.Fill(ranked, true, rows - (rows / 10), rows / 10);
        return new Split(ranked, AllTold(rows));
    }

    private static Split ByTime(IReadOnlyList<EventRow> rows, double testFrom) =>
        new([.. rows.Select(row => row.Timestamp >= testFrom)], AllTold(rows.Count));

    private static Split ByItems(IReadOnlyList<EventRow> rows, List<string> testItems, List<string> validItems, int warmRows)
    {
        var test = testItems.ToHashSet(StringComparer.Ordinal);
        var heldOut = test.Concat(validItems).ToHashSet(StringComparer.Ordinal);
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        var ranked = new bool[rows.Count];
        for (var row = 0; row < ranked.Length; row++)
        {
            var item = rows[row].Item;
            if (test.Contains(item))
            {
                // The first rows of a test item belong to its warm-up, not to the test.
                seen[item] = seen.GetValueOrDefault(item) + 1;
                ranked[row] = seen[item] > warmRows;
            }
        }

        return new Split(ranked, [.. rows.Select(row => !heldOut.Contains(row.Item))]);
    }

    private static bool[] AllTold(int rows)
    {
        var told = new bool[rows];
        Array.Fill(told, true);
        return told;
    }
}
