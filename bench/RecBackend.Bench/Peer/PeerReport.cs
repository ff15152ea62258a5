using System.Globalization;
using System.Text.Json;
using RecBackend.Bench.Load;

namespace RecBackend.Bench.Peer;

/// <summary>One of the two at one offered rate.</summary>
/// <param name="Name">Which.</param>
/// <param name="Point">What was measured.</param>
/// <param name="ProcessorMicroseconds">Processor time of all its processes over the arrivals, those of the warm-up included.</param>
internal sealed record PeerRow(string Name, LoadPoint Point, double ProcessorMicroseconds);

/// <summary>Tables and JSON of a run.</summary>
/// <param name="Rounds">Saturation of the peer and of the server, found one after the other.</param>
/// <param name="Rows">At the same offered rates, and at each one's saturation.</param>
/// <param name="LargestDifference">Of two scores of an item.</param>
internal sealed record PeerReport(IReadOnlyList<(double Peer, double Server)> Rounds, IReadOnlyList<PeerRow> Rows, double LargestDifference)
{
    public const string Peer = "peer";
    public const string Server = "RecBackend";

    /// <summary>The server's saturation over the peer's: of all rounds, so that neither has the better hour.</summary>
    public double Ratio => Rounds.Sum(x => x.Server) / Rounds.Sum(x => x.Peer);

    /// <summary>The tables for people.</summary>
    public void Print(TextWriter output)
    {
        output.WriteLine();
        output.WriteLine("| round | peer, saturation/s | RecBackend, saturation/s | ratio |");
        output.WriteLine("|---:|---:|---:|---:|");
        for (var i = 0; i < Rounds.Count; i++)
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {i + 1} | {Rounds[i].Peer:F0} | {Rounds[i].Server:F0} | {Rounds[i].Server / Rounds[i].Peer:F2} |"));
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| all | {Rounds.Average(x => x.Peer):F0} | {Rounds.Average(x => x.Server):F0} | {Ratio:F2} |"));
        output.WriteLine();
        output.WriteLine("| | offered/s | goodput/s | p50 ms | p95 ms | p99 ms | CPU µs/request | generator cores | issued late p99 ms |");
        output.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach (var row in Rows)
        {
            var (seen, all) = (row.Point.Callers, row.Point.Callers.All);
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {row.Name} | {seen.Offered:F0} | {seen.Goodput:F0} | {all?.P50 / 1e3:F2} | {all?.P95 / 1e3:F2} | {all?.P99 / 1e3:F2} | {row.ProcessorMicroseconds:F0} | {row.Point.Generator.Cores:F2} | {seen.IssuedLate?.P99 / 1e3:F2} |"));
        }

        output.WriteLine();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"scores agree within {LargestDifference:E1}"));
        GeneratorNotes.Print(output, Rows.Select(x => x.Point));
    }

    /// <summary>One JSON object.</summary>
    public string ToJson() => JsonSerializer.Serialize(
        new { Ratio, Rounds = Rounds.Select(x => new { x.Peer, x.Server, Ratio = x.Server / x.Peer }), Rows },
        LoadJson.Options);
}
