using RecBackend.Bench.Load;
using RecBackend.Cli;

namespace RecBackend.Bench.Tests.Load;

public class SaturationSearchTests
{
    [Theory]
    [InlineData(437)]
    [InlineData(50)]
    [InlineData(7.3)]
    [InlineData(12_345)]
    public async Task Highest_held_rate_is_found_to_the_precision(double capacity)
    {
        var found = await new SaturationSearch(50, 1.05).FindAsync(rate => Task.FromResult(rate <= capacity));

        Assert.InRange(found, capacity / 1.05, capacity);
    }

    [Theory]
    [InlineData(390)]
    [InlineData(437)]
    public async Task Small_step_finds_what_is_near_in_few_tries(double capacity)
    {
        var tries = new HashSet<double>();
        var found = await new SaturationSearch(410, 1.05, step: 1.2).FindAsync(rate => Task.FromResult(tries.Add(rate) is var _ && rate <= capacity));

        Assert.InRange(found, capacity / 1.05, capacity);
        Assert.InRange(tries.Count, 1, 5);
    }

    [Fact]
    public async Task One_bad_try_does_not_make_a_rate_fail()
    {
        var tried = new HashSet<double>();
        var found = await new SaturationSearch(50, 1.05).FindAsync(rate => Task.FromResult(!tried.Add(rate) && rate <= 437));

        Assert.InRange(found, 437 / 1.05, 437);
    }

    [Fact]
    public async Task Rate_fails_after_as_many_attempts_as_are_asked_for()
    {
        var tries = new Dictionary<double, int>();
        var found = await new SaturationSearch(50, 1.05, attempts: 3).FindAsync(rate => Task.FromResult((tries[rate] = tries.GetValueOrDefault(rate) + 1) == 3 && rate <= 437));

        Assert.InRange(found, 437 / 1.05, 437);
        Assert.Equal(3, tries.Values.Max());
    }

    [Fact]
    public async Task Server_that_holds_nothing_ends_the_search() =>
        await Assert.ThrowsAsync<CommandException>(() => new SaturationSearch(50, 1.05).FindAsync(_ => Task.FromResult(false)));
}
