using RecBackend.Cli.Data;

namespace RecBackend.Cli.Evaluation;

/// <summary>What a replay measured.</summary>
internal sealed record ReplayResult
{
    /// <summary>Computes the metrics over the rows that have a score.</summary>
    /// <param name="rows">All rows of the data.</param>
    /// <param name="scores">Score of each row; null for a row that was not of the test part, or that the server did not rank.</param>
    /// <param name="latencies">Milliseconds of each ranking, over the wire.</param>
    /// <param name="models">Versions that answered.</param>
    /// <param name="fallbacks">Rows that the fallback ranked.</param>
    /// <param name="rejected">Events that the server refused.</param>
    public ReplayResult(
        IReadOnlyList<EventRow> rows, IReadOnlyList<double?> scores, double[] latencies, IReadOnlyCollection<string> models, int fallbacks, long rejected)
    {
        var scored = Enumerable.Range(0, rows.Count).Where(row => scores[row] is not null).ToArray();
        var clicked = scored.Select(row => rows[row].Clicked).ToArray();
        var values = scored.Select(row => scores[row]!.Value).ToArray();
        Rows = scored.Length;
        Auc = RankingMetrics.Auc(clicked, values);
        Gauc = RankingMetrics.Gauc(clicked, values, [.. scored.Select(row => rows[row].User)]);
        LogLoss = RankingMetrics.LogLoss(clicked, values);
        CalibrationError = RankingMetrics.CalibrationError(clicked, values);
        Rankings = latencies.Length;
        LatencyP50 = RankingMetrics.Percentile(latencies, 0.50);
        LatencyP99 = RankingMetrics.Percentile(latencies, 0.99);
        Models = models;
        Fallbacks = fallbacks;
        Rejected = rejected;
    }

    /// <summary>Rows with a score.</summary>
    public int Rows { get; }

    /// <summary>See <see cref="RankingMetrics.Auc"/>.</summary>
    public double Auc { get; }

    /// <summary>See <see cref="RankingMetrics.Gauc"/>.</summary>
    public double Gauc { get; }

    /// <summary>See <see cref="RankingMetrics.LogLoss"/>.</summary>
    public double LogLoss { get; }

    /// <summary>See <see cref="RankingMetrics.CalibrationError"/>.</summary>
    public double CalibrationError { get; }

    /// <summary>Requests to rank.</summary>
    public int Rankings { get; }

    /// <summary>Median of their latency, milliseconds.</summary>
    public double LatencyP50 { get; }

    /// <summary>99th percentile of their latency, milliseconds.</summary>
    public double LatencyP99 { get; }

    /// <summary>Versions that answered.</summary>
    public IReadOnlyCollection<string> Models { get; }

    /// <summary>Rows that the fallback ranked.</summary>
    public int Fallbacks { get; }

    /// <summary>Events that the server refused.</summary>
    public long Rejected { get; }
}
