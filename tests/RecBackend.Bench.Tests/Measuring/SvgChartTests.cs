using System.Globalization;
using System.Xml.Linq;
using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Tests.Measuring;

public class SvgChartTests
{
    private static readonly XNamespace Svg = "http://www.w3.org/2000/svg";

    [Fact]
    public void Equal_ratios_are_equal_distances_and_larger_values_lie_higher()
    {
        var points = Points(new SvgChart("p99 < limit & more", "x", "y") { Lines = [new SvgLine("a", "#000000", [(10, 1), (100, 10), (1_000, 100)])] });

        Assert.Equal(points[1].X - points[0].X, points[2].X - points[1].X, 0.2);
        Assert.Equal(points[1].Y - points[0].Y, points[2].Y - points[1].Y, 0.2);
        Assert.True(points[0].X < points[1].X && points[0].Y > points[1].Y);
    }

    [Fact]
    public void Chart_of_one_point_or_none_is_drawn()
    {
        Assert.All(Points(new SvgChart("one", "x", "y") { Lines = [new SvgLine("a", "#000000", [(10, 1)])] }), p => Assert.True(double.IsFinite(p.X) && double.IsFinite(p.Y)));
        Assert.Empty(Points(new SvgChart("none", "x", "y") { Lines = [new SvgLine("a", "#000000", [])], Mark = (100, "mark") }));
    }

    private static List<(double X, double Y)> Points(SvgChart chart)
    {
        var polyline = XDocument.Parse(SvgChart.Draw(chart)).Descendants(Svg + "polyline").Single();
        return [.. polyline.Attribute("points")!.Value.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(Point)];
    }

    private static (double X, double Y) Point(string text)
    {
        var parts = text.Split(',');
        return (double.Parse(parts[0], CultureInfo.InvariantCulture), double.Parse(parts[1], CultureInfo.InvariantCulture));
    }
}
