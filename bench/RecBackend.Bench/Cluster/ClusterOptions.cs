namespace RecBackend.Bench.Cluster;

/// <summary>What <c>rec bench cluster</c> was asked for.</summary>
/// <param name="Parts">Which parts: load, events, visibility, restart, scale.</param>
/// <param name="Items">Items of the bulk load.</param>
/// <param name="TextLength">Characters of an item's text.</param>
/// <param name="Streams">Calls that load items at once.</param>
/// <param name="Time">Measured time of each load.</param>
/// <param name="Share">Processor time of each host in the scale-out, in cores.</param>
/// <param name="State">Folder for the state.</param>
/// <param name="Bundle">Folder of the bundle.</param>
internal sealed record ClusterOptions(string[] Parts, int Items, int TextLength, int Streams, TimeSpan Time, double Share, string State, string Bundle)
{
    /// <summary>All parts, in the order in which they run.</summary>
    public static readonly string[] AllParts = [BulkLoad.Part, EventRates.Part, Visibility.Part, Restart.Part, ScaleOut.Part];

    /// <summary>Whether a part was asked for.</summary>
    public bool Has(string part) => Parts.Contains(part);
}
