using System.Globalization;
using System.Text;

namespace RecBackend.Bench.Measuring;

/// <summary>A line of a chart.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="Colour">As CSS has it.</param>
/// <param name="Points">Above 0 in both directions.</param>
internal sealed record SvgLine(string Name, string Colour, IReadOnlyList<(double X, double Y)> Points);

/// <summary>Lines over two logarithmic axes: rates and latencies differ by powers of ten.</summary>
internal sealed class SvgChart(string title, string x, string y)
{
    private const int Width = 640;
    private const int Height = 360;
    private const int Left = 64;
    private const int Right = 110;
    private const int Top = 40;
    private const int Bottom = 46;

    /// <summary>The lines.</summary>
    public required IReadOnlyList<SvgLine> Lines { get; init; }

    /// <summary>A place on the horizontal axis, and what it is.</summary>
    public (double X, string Name)? Mark { get; init; }

    /// <summary>Charts below each other, as one SVG file.</summary>
    public static string Draw(params IReadOnlyList<SvgChart> charts)
    {
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height * charts.Count}\" width=\"{Width}\" height=\"{Height * charts.Count}\" font-family=\"sans-serif\" font-size=\"11\">\n");
        svg.Append("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
        for (var i = 0; i < charts.Count; i++)
        {
            svg.Append(CultureInfo.InvariantCulture, $"<g transform=\"translate(0 {i * Height})\">\n");
            charts[i].Append(svg);
            svg.Append("</g>\n");
        }

        return svg.Append("</svg>\n").ToString();
    }

    private void Append(StringBuilder svg)
    {
        var across = new LogAxis([.. Lines.SelectMany(line => line.Points).Select(p => p.X), .. Mark is { } m ? new[] { m.X } : []], Left, Width - Right);
        var up = new LogAxis([.. Lines.SelectMany(line => line.Points).Select(p => p.Y)], Height - Bottom, Top);
        Text(svg, Left, 16, "start", title, "#000000");
        foreach (var tick in across.Ticks())
        {
            Segment(svg, across.Place(tick), Top, across.Place(tick), Height - Bottom, "#e0e0e0", dashed: false);
            Text(svg, across.Place(tick), Height - Bottom + 16, "middle", Number(tick), "#444444");
        }

        foreach (var tick in up.Ticks())
        {
            Segment(svg, Left, up.Place(tick), Width - Right, up.Place(tick), "#e0e0e0", dashed: false);
            Text(svg, Left - 6, up.Place(tick) + 4, "end", Number(tick), "#444444");
        }

        Text(svg, (Left + Width - Right) / 2.0, Height - 10, "middle", x, "#000000");
        Text(svg, 4, Top - 6, "start", y, "#000000");
        if (Mark is { } mark)
        {
            Segment(svg, across.Place(mark.X), Top, across.Place(mark.X), Height - Bottom, "#000000", dashed: true);
            Text(svg, across.Place(mark.X) + 4, Top + 11, "start", mark.Name, "#000000");
        }

        for (var i = 0; i < Lines.Count; i++)
        {
            var line = Lines[i];
            var places = line.Points.Select(p => (X: across.Place(p.X), Y: up.Place(p.Y))).ToList();
            svg.Append(CultureInfo.InvariantCulture, $"<polyline fill=\"none\" stroke=\"{line.Colour}\" stroke-width=\"1.6\" points=\"");
            svg.AppendJoin(' ', places.Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.X:F1},{p.Y:F1}"))).Append("\"/>\n");
            foreach (var (placeX, placeY) in places)
            {
                svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{placeX:F1}\" cy=\"{placeY:F1}\" r=\"2.4\" fill=\"{line.Colour}\"/>\n");
            }

            Segment(svg, Width - Right + 10, Top + 10 + (i * 16), Width - Right + 26, Top + 10 + (i * 16), line.Colour, dashed: false);
            Text(svg, Width - Right + 30, Top + 14 + (i * 16), "start", line.Name, "#000000");
        }
    }

    private static void Segment(StringBuilder svg, double x1, double y1, double x2, double y2, string colour, bool dashed) => svg.Append(
        CultureInfo.InvariantCulture,
        $"<line x1=\"{x1:F1}\" y1=\"{y1:F1}\" x2=\"{x2:F1}\" y2=\"{y2:F1}\" stroke=\"{colour}\"{(dashed ? " stroke-dasharray=\"4 3\"" : "")}/>\n");

    private static void Text(StringBuilder svg, double x, double y, string anchor, string text, string colour) => svg.Append(
        CultureInfo.InvariantCulture,
        $"<text x=\"{x:F1}\" y=\"{y:F1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{System.Security.SecurityElement.Escape(text)}</text>\n");

    private static string Number(double value) => value.ToString("#,0.####", CultureInfo.InvariantCulture);

    /// <summary>Writes a drawing and says where it is.</summary>
    public static async Task SaveAsync(string file, string svg, CancellationToken cancellation)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        await File.WriteAllTextAsync(file, svg, cancellation);
        Console.WriteLine($"\nplot: {file}");
    }

    /// <summary>From values to places, by their logarithm.</summary>
    private sealed class LogAxis
    {
        private readonly double _least;
        private readonly double _most;
        private readonly double _from;
        private readonly double _to;

        public LogAxis(IReadOnlyList<double> values, double from, double to)
        {
            (_from, _to) = (from, to);

            // Room on both sides, also where all values are one.
            _least = values.Count == 0 ? 1 : values.Min() / 1.25;
            _most = values.Count == 0 ? 10 : values.Max() * 1.25;
        }

        public double Place(double value) => _from + ((_to - _from) * Math.Log(value / _least) / Math.Log(_most / _least));

        public IEnumerable<double> Ticks()
        {
            for (var power = Math.Floor(Math.Log10(_least)); power <= Math.Log10(_most); power++)
            {
                foreach (var step in new[] { 1, 2, 5 })
                {
                    var tick = step * Math.Pow(10, power);
                    if (tick >= _least && tick <= _most)
                    {
                        yield return tick;
                    }
                }
            }
        }
    }
}
