using System.Diagnostics;
using RecBackend.Bench.Load;

namespace RecBackend.Bench.Tests.Load;

public class LoadLogTests
{
    private static readonly long Second = Stopwatch.Frequency;

    [Fact]
    public void Latencies_are_of_arrivals_in_the_measured_part_and_goodput_of_answers_in_it()
    {
        // One second to warm up, two measured. By moment of arrival and of answer, in seconds:
        var log = Log(
            (0.5, 0.9, Outcome.Model), // before, answered before: counts nowhere
            (0.9, 1.2, Outcome.Model), // before, answered within: goodput alone
            (1.5, 1.7, Outcome.Model), // within: both
            (1.6, 1.7, Outcome.TooManyRequests), // within: achieved, not goodput
            (2.9, 3.4, Outcome.Model)); // within, answered after: latency alone
        var figures = log.Figures(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(3));

        Assert.Equal(3, figures.Arrivals);
        Assert.Equal(1.5, figures.Offered);
        Assert.Equal(1.5, figures.Achieved);
        Assert.Equal(1.0, figures.Goodput);
        Assert.Equal(200_000, figures.Model!.P50, 1);
        Assert.Equal(500_000, figures.Model.Max, 1);
        Assert.Equal(100_000, figures.All!.P50 - 100_000, 1);
        Assert.Equal(2, figures.Outcomes[Outcome.Model]);
        Assert.Equal(1, figures.Outcomes[Outcome.TooManyRequests]);
    }

    [Fact]
    public void Requests_that_were_given_up_are_no_answers_and_are_in_the_latency_of_all()
    {
        var figures = Log((0.1, 2.1, Outcome.TimedOut), (0.2, 2.2, Outcome.Unsent), (0.3, 0.4, Outcome.Broken)).Figures(TimeSpan.Zero, TimeSpan.FromSeconds(3));

        Assert.Equal(0, figures.Achieved);
        Assert.Null(figures.Model);
        Assert.Equal(2_000_000, figures.All!.P50, 1);
    }

    [Fact]
    public void Trouble_lasts_to_the_end_of_the_last_slot_with_a_failure_or_slow_answers()
    {
        (double, double, Outcome)[] well = [.. Enumerable.Range(0, 40).Select(i => (1 + (i * 0.05), 1 + (i * 0.05) + 0.01, Outcome.Model))];

        // Usual is 20 ms; the storm ends at 1 s, and slots are of a quarter second.
        Assert.Equal(TimeSpan.Zero, Trouble(well));
        Assert.Equal(TimeSpan.FromSeconds(0.75), Trouble([.. well, (1.6, 1.601, Outcome.TooManyRequests)]));
        Assert.Equal(TimeSpan.FromSeconds(0.25), Trouble([.. well.Select(x => x.Item1 < 1.25 ? (x.Item1, x.Item1 + 0.5, x.Item3) : x)]));

        // One slow answer among many is the tail and not trouble.
        Assert.Equal(TimeSpan.Zero, Trouble([.. well, (1.6, 1.9, Outcome.Model)]));
        Assert.Null(Trouble([.. well, (2.9, 2.95, Outcome.TimedOut)]));

        static TimeSpan? Trouble((double, double, Outcome)[] entries) =>
            Log([.. entries.OrderBy(x => x.Item1)]).TroubleAfter(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(0.25), usual: 20_000);
    }

    private static LoadLog Log(params (double Arrival, double Answer, Outcome Outcome)[] entries)
    {
        const long Start = 12_345;
        var log = new LoadLog(Start, [.. entries.Select(x => (long)(x.Arrival * Second))]);
        for (var i = 0; i < entries.Length; i++)
        {
            log[i].Issued = log[i].Sent = log[i].Scheduled;
            log[i].Ended = Start + (long)(entries[i].Answer * Second);
            log[i].Outcome = entries[i].Outcome;
        }

        return log;
    }
}
