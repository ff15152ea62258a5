using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Curves;

/// <summary>Cost of a ranking in process over one quantity after the other.</summary>
internal sealed class CurvesBenchmark(CurvesOptions options)
{
    public async Task<int> RunAsync(bool json, CancellationToken cancellation)
    {
        var data = DataSet.Read(options.Data).WithAtLeast(options.Candidates.Max());
        using var folder = new ScratchFolder(Path.GetTempPath());
        RunFacts.Print(Console.Out, null);
        var curves = new List<Curve>();
        MemoryFigures? memory = null;
        if (options.Curves.Contains("catalog"))
        {
            // First, while nothing else is in memory.
            (var curve, memory) = await CatalogCurve.MeasureAsync(folder.Path, options, cancellation);
            curves.Add(curve);
        }

        if (options.Curves.Any(x => x != "catalog"))
        {
            await using var engine = await BenchEngine.OpenAsync(Path.Combine(folder.Path, "engine"), cancellation);
            await engine.ActivateAsync(options.Bundle, cancellation);
            await engine.LoadAsync(data, cancellation);
            if (options.Curves.Contains("candidates"))
            {
                curves.Add(await CandidateCurve.MeasureAsync(engine, data, options, cancellation));
            }

            if (options.Curves.Contains("history"))
            {
                curves.Add(await HistoryCurve.MeasureAsync(engine, data, options, cancellation));
            }

            if (options.Curves.Contains("users"))
            {
                curves.Add(await UserCurve.MeasureAsync(engine, data, options, cancellation));
            }
        }

        var report = new CurvesReport(curves, memory);
        report.Print(Console.Out);
        await SvgChart.SaveAsync(options.Plot, report.ToSvg(), cancellation);
        if (json)
        {
            Console.WriteLine(report.ToJson());
        }

        return 0;
    }
}
