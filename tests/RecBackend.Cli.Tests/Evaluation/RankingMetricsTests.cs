using RecBackend.Cli.Evaluation;

namespace RecBackend.Cli.Tests.Evaluation;

public class RankingMetricsTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Auc_is_the_share_of_pairs_in_the_right_order(int seed)
    {
        var (clicked, scores, _) = Rows(seed);

        Assert.Equal(PairsInOrder(clicked, scores), RankingMetrics.Auc(clicked, scores), 12);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(5)]
    public void Gauc_is_the_mean_over_users_by_their_rows(int seed)
    {
        var (clicked, scores, users) = Rows(seed);
        double sum = 0;
        double weight = 0;
        foreach (var rows in Enumerable.Range(0, users.Length).GroupBy(row => users[row]).Select(group => group.ToArray()))
        {
            var own = rows.Select(row => clicked[row]).ToArray();
            if (own.Distinct().Count() == 2)
            {
                sum += rows.Length * PairsInOrder(own, [.. rows.Select(row => scores[row])]);
                weight += rows.Length;
            }
        }

        Assert.Equal(sum / weight, RankingMetrics.Gauc(clicked, scores, users), 12);
    }

    [Fact]
    public void Metrics_of_one_class_are_not_a_number()
    {
        Assert.True(double.IsNaN(RankingMetrics.Auc([true, true], [0.1, 0.2])));
        Assert.True(double.IsNaN(RankingMetrics.Gauc([true, false], [0.1, 0.2], ["a", "b"])));
    }

    [Fact]
    public void Log_loss_of_a_certain_mistake_is_large_but_finite()
    {
        Assert.Equal(-Math.Log(1e-7), RankingMetrics.LogLoss([true], [0.0]), 9);
        Assert.Equal((-Math.Log(0.8) - Math.Log(0.7)) / 2, RankingMetrics.LogLoss([true, false], [0.8, 0.3]), 12);
    }

    [Fact]
    public void Calibration_error_is_the_gap_of_each_tenth()
    {
        // Tenth 2: rate 1/2 against 0.25; tenth 9: rate 1 against 0.9 and 1.0.
        Assert.Equal(((2 * 0.25) + (2 * 0.05)) / 4, RankingMetrics.CalibrationError([true, false, true, true], [0.25, 0.25, 0.9, 1.0]), 12);
    }

    [Fact]
    public void Percentile_is_a_value_that_was_measured()
    {
        Assert.Equal(2, RankingMetrics.Percentile([3, 1, 2], 0.5));
        Assert.Equal(3, RankingMetrics.Percentile([3, 1, 2], 0.99));
        Assert.True(double.IsNaN(RankingMetrics.Percentile([], 0.5)));
    }

    private static double PairsInOrder(bool[] clicked, double[] scores)
    {
        double right = 0;
        double pairs = 0;
        for (var click = 0; click < clicked.Length; click++)
        {
            for (var other = 0; other < clicked.Length; other++)
            {
                if (clicked[click] && !clicked[other])
                {
                    pairs++;
                    right += scores[click] > scores[other] ? 1 : scores[click] < scores[other] ? 0 : 0.5;
                }
            }
        }

        return right / pairs;
    }

    // Few distinct scores, so that ties are common.
    private static (bool[] Clicked, double[] Scores, string[] Users) Rows(int seed)
    {
        var random = new Random(seed);
        var rows = Enumerable.Range(0, 400).Select(_ => (random.Next(3) == 0, random.Next(30) / 30.0, $"u{random.Next(40)}")).ToArray();
        return ([.. rows.Select(row => row.Item1)], [.. rows.Select(row => row.Item2)], [.. rows.Select(row => row.Item3)]);
    }
}
