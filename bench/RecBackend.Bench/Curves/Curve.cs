using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Curves;

/// <summary>Cost over one quantity, everything else kept.</summary>
/// <param name="Name">In the JSON.</param>
/// <param name="Title">Of table and chart.</param>
/// <param name="Quantity">What is varied.</param>
/// <param name="Series">What was measured at each value.</param>
internal sealed record Curve(string Name, string Title, string Quantity, IReadOnlyList<CurveSeries> Series);

/// <summary>One way to spend time.</summary>
/// <param name="Name">Which.</param>
/// <param name="Points">Rising in X.</param>
internal sealed record CurveSeries(string Name, IReadOnlyList<CurvePoint> Points);

/// <summary>Latency at one value, in microseconds.</summary>
internal sealed record CurvePoint(double X, double P50, double P99)
{
    public static CurvePoint Of(double x, LatencySample sample) => new(x, sample.Percentile(0.5), sample.Percentile(0.99));
}
