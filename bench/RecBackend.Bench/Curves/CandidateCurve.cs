using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Rank;

namespace RecBackend.Bench.Curves;

/// <summary>Cost over the number of candidates: the pipeline in process, and the bare call beside it.</summary>
internal static class CandidateCurve
{
    private const int DistinctRequests = 200;
    private const int Recorded = 4;

    public static async Task<Curve> MeasureAsync(BenchEngine engine, DataSet data, CurvesOptions options, CancellationToken cancellation)
    {
        var lanes = new List<RankLane>();
        try
        {
            foreach (var count in options.Candidates)
            {
                var workload = new RankWorkload(data, count, DistinctRequests, 0, options.Seed);
                var tensors = await engine.RecordAsync(workload, Recorded);
                lanes.Add(new InProcessLane(engine.Ranker, workload, count, _ => { }));
                lanes.Add(new BareLane(new BareRanker(options.Bundle, engine.Layout, count), tensors));
            }

            var turns = lanes.Select(lane => lane.ToTurn(DistinctRequests)).ToList();
            var samples = await Turns.MeasureAsync("candidates", turns, options.Requests, cancellation);
            return new Curve("candidates", "Ranking by number of candidates", "candidates",
            [
                new CurveSeries("pipeline in process", [.. options.Candidates.Select((x, i) => CurvePoint.Of(x, samples[2 * i]))]),
                new CurveSeries("bare ONNX Runtime call", [.. options.Candidates.Select((x, i) => CurvePoint.Of(x, samples[(2 * i) + 1]))]),
            ]);
        }
        finally
        {
            lanes.ForEach(lane => lane.Dispose());
        }
    }
}
