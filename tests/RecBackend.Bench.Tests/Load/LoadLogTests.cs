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
