namespace RecBackend.Cli.Evaluation;

/// <summary>
/// How well predicted click probabilities rank and how far they can be trusted. The same definitions as <c>training/recbackend/metrics.py</c>, so that the two can be
/// compared.
/// </summary>
internal static class RankingMetrics
{
    private const double Margin = 1e-7;

    /// <summary>Area under the ROC curve: the chance that a click scores above a non-click, ties counted as one half. NaN when only one class is there.</summary>
    public static double Auc(ReadOnlySpan<bool> clicked, ReadOnlySpan<double> scores)
    {
        var order = new int[scores.Length];
        for (var i = 0; i < order.Length; i++)
        {
            order[i] = i;
        }

        var sorted = scores.ToArray();
        Array.Sort(sorted, order);

        // Sum of the clicks' ranks (Mann-Whitney); equal scores share the mean of their ranks.
        double rankSum = 0;
        long positives = 0;
        for (var start = 0; start < sorted.Length;)
        {
            var end = start;
            var clicks = 0;
            for (; end < sorted.Length && sorted[end] == sorted[start]; end++)
            {
                clicks += clicked[order[end]] ? 1 : 0;
            }

            rankSum += clicks * ((start + 1 + end) / 2.0);
            positives += clicks;
            start = end;
        }

        var negatives = sorted.Length - positives;
        return positives == 0 || negatives == 0 ? double.NaN : (rankSum - (positives * (positives + 1) / 2.0)) / ((double)positives * negatives);
    }

    /// <summary>AUC within each user, averaged with the user's number of rows as weight; users whose rows are all of one class are left out.</summary>
    public static double Gauc(ReadOnlySpan<bool> clicked, ReadOnlySpan<double> scores, IReadOnlyList<string> users)
    {
        var rowsOf = new Dictionary<string, List<int>>(StringComparer.Ordinal);
        for (var row = 0; row < users.Count; row++)
        {
            if (!rowsOf.TryGetValue(users[row], out var rows))
            {
                rowsOf[users[row]] = rows = [];
            }

            rows.Add(row);
        }

        double sum = 0;
        long weight = 0;
        foreach (var rows in rowsOf.Values)
        {
            var ownClicked = new bool[rows.Count];
            var ownScores = new double[rows.Count];
            for (var i = 0; i < rows.Count; i++)
            {
                ownClicked[i] = clicked[rows[i]];
                ownScores[i] = scores[rows[i]];
            }

            var auc = Auc(ownClicked, ownScores);
            if (!double.IsNaN(auc))
            {
                sum += auc * rows.Count;
                weight += rows.Count;
            }
        }

        return weight == 0 ? double.NaN : sum / weight;
    }

    /// <summary>Mean negative log-likelihood in nats; probabilities are kept 1e-7 away from 0 and 1.</summary>
    public static double LogLoss(ReadOnlySpan<bool> clicked, ReadOnlySpan<double> scores)
    {
        double sum = 0;
        for (var i = 0; i < scores.Length; i++)
        {
            var probability = Math.Clamp(scores[i], Margin, 1 - Margin);
            sum -= clicked[i] ? Math.Log(probability) : Math.Log(1 - probability);
        }

        return sum / scores.Length;
    }

    /// <summary>Expected calibration error: |click rate − mean probability| in ten bins of equal width, averaged over rows.</summary>
    public static double CalibrationError(ReadOnlySpan<bool> clicked, ReadOnlySpan<double> scores)
    {
        const int Bins = 10;
        Span<double> gap = stackalloc double[Bins];
        gap.Clear();
        for (var i = 0; i < scores.Length; i++)
        {
            gap[Math.Clamp((int)(scores[i] * Bins), 0, Bins - 1)] += (clicked[i] ? 1 : 0) - scores[i];
        }

        double sum = 0;
        foreach (var value in gap)
        {
            sum += Math.Abs(value);
        }

        return sum / scores.Length;
    }

    /// <summary>The value below which <paramref name="share"/> of the values lie (nearest rank). Sorts <paramref name="values"/>.</summary>
    public static double Percentile(Span<double> values, double share)
    {
        if (values.IsEmpty)
        {
            return double.NaN;
        }

        values.Sort();
        return values[Math.Clamp((int)Math.Ceiling(share * values.Length) - 1, 0, values.Length - 1)];
    }
}
