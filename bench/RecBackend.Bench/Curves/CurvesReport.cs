using System.Globalization;
using System.Text.Json;
using RecBackend.Bench.Load;
using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Curves;

/// <summary>Tables, plot and JSON of a run.</summary>
internal sealed record CurvesReport(IReadOnlyList<Curve> Curves, MemoryFigures? Memory)
{
    private static readonly string[] Colours = ["#2166ac", "#b2182b", "#1b7837", "#762a83"];

    /// <summary>The tables for people.</summary>
    public void Print(TextWriter output)
    {
        foreach (var curve in Curves)
        {
            output.WriteLine();
            output.WriteLine(curve.Title);
            output.WriteLine();
            output.WriteLine($"| {curve.Quantity} | {string.Join(" | ", curve.Series.Select(x => $"{x.Name}, p50 µs | p99 µs"))} |");
            output.WriteLine($"|---:|{string.Concat(curve.Series.Select(_ => "---:|---:|"))}");
            for (var i = 0; i < curve.Series[0].Points.Count; i++)
            {
                var cells = curve.Series.Select(x => string.Create(CultureInfo.InvariantCulture, $"{x.Points[i].P50:N0} | {x.Points[i].P99:N0}"));
                output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {curve.Series[0].Points[i].X:N0} | {string.Join(" | ", cells)} |"));
            }

            foreach (var series in curve.Series.Where(x => curve.Name == "catalog" && x.Points.Count > 1))
            {
                output.WriteLine(string.Create(
                    CultureInfo.InvariantCulture, $"{series.Name}: {series.Points[^1].X:N0} items take {series.Points[^1].P50 / series.Points[0].P50:F2} times as long as {series.Points[0].X:N0} (p50)"));
            }
        }

        if (Memory is not null)
        {
            output.WriteLine();
            output.WriteLine(Memory);
        }
    }

    /// <summary>A chart for each curve: p50 as a line for each series.</summary>
    public string ToSvg() => SvgChart.Draw([.. Curves.Select(curve => new SvgChart($"{curve.Title}, p50", curve.Quantity, "µs")
    {
        Lines = [.. curve.Series.Select((series, i) => new SvgLine(series.Name, Colours[i % Colours.Length], [.. series.Points.Select(p => (p.X, p.P50))]))],
    })]);

    /// <summary>One JSON object.</summary>
    public string ToJson() => JsonSerializer.Serialize(
        new
        {
            Curves,
            Memory = Memory is null ? null : new { Memory.Items, Memory.BytesPerItem, Memory.FillSeconds, Memory.Known.RowBytes, Memory.Known.EntryBytes, Memory.Known.IdBytes, Memory.Known.TableBytes },
        },
        LoadJson.Options);
}
