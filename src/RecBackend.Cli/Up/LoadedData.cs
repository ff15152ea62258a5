using System.Globalization;

namespace RecBackend.Cli.Up;

/// <summary>
/// Remembers, beside the server's state, how far a data set has been loaded into it, so that a second start loads nothing and an interrupted one goes on. What is
/// recorded is durable on the server already; at most one batch is told twice, which has no effect.
/// </summary>
internal sealed class LoadedData
{
    private const int NoItems = -1;

    private readonly string _file;

    private LoadedData(string file, int rows)
    {
        _file = file;
        Rows = rows;
    }

    /// <summary>Whether items and users are loaded.</summary>
    public bool HasItems => Rows != NoItems;

    /// <summary>Rows of the events that are loaded; −1 before the items are.</summary>
    public int Rows { get; private set; }

    /// <summary>Reads the record for a data set.</summary>
    /// <param name="state">Folder of the state.</param>
    /// <param name="fingerprint">Of the data set.</param>
    public static LoadedData Read(string state, string fingerprint)
    {
        var file = Path.Combine(state, $"loaded-{fingerprint}");
        var rows = File.Exists(file) && int.TryParse(File.ReadAllText(file), NumberStyles.None, CultureInfo.InvariantCulture, out var read) ? read : NoItems;
        return new LoadedData(file, rows);
    }

    /// <summary>Records that items, users and <paramref name="rows"/> rows are on the server.</summary>
    public void Record(int rows)
    {
        Rows = rows;
        var draft = _file + ".new";
        File.WriteAllText(draft, rows.ToString(CultureInfo.InvariantCulture));
        File.Move(draft, _file, overwrite: true);
    }
}
