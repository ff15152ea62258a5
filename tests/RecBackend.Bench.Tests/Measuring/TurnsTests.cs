using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Tests.Measuring;

public class TurnsTests
{
    [Fact]
    public async Task Those_that_are_measured_take_turns_in_rounds_and_each_is_prepared_before_it_runs()
    {
        var order = new List<string>();

        var samples = await Turns.MeasureAsync("test", [Recorded("a"), Recorded("b")], 100, CancellationToken.None);

        Assert.Equal([100, 100], samples.Select(x => x.Count));
        var runs = order.Where(x => x.StartsWith("run", StringComparison.Ordinal)).ToList();
        Assert.Equal(300, runs.Count);
        var switches = runs.Zip(runs.Skip(1)).Count(x => x.First != x.Second);
        Assert.InRange(switches, 10, 20);
        for (var i = 0; i < order.Count; i += 2)
        {
            Assert.Equal(order[i].Replace("prepare", "run", StringComparison.Ordinal), order[i + 1]);
        }

        Turn Recorded(string name) => new(_ => order.Add("prepare " + name), () =>
        {
            order.Add("run " + name);
            return ValueTask.CompletedTask;
        });
    }
}
