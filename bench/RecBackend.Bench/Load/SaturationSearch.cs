using RecBackend.Cli;

namespace RecBackend.Bench.Load;

/// <summary>
/// Finds the highest rate that a server holds: doubles (or whatever the step is) until one does not hold, then halves the gap (of the logarithms). A rate counts as not held only if it fails twice (or whatever the attempts are), since whatever else
/// the machine does can make a server slower and never faster.
/// </summary>
/// <param name="first">The rate tried first.</param>
/// <param name="precision">The result is held, and this many times it is not; above 1.</param>
/// <param name="step">How many times the rate before the next one is, until the result lies between two of them; above 1. Small where about <paramref name="first"/> is expected.</param>
/// <param name="attempts">How often a rate must fail; the busier the machine is with other things, the more.</param>
internal sealed class SaturationSearch(double first, double precision, double step = 2, int attempts = 2)
{
    private const double Least = 1;
    private const double Most = 1_000_000;

    /// <param name="holds">Tries a rate.</param>
    /// <exception cref="CommandException">Not even one request a second is held, or there is no end to what is.</exception>
    public async Task<double> FindAsync(Func<double, Task<bool>> holds)
    {
        var (held, failed) = (0.0, double.PositiveInfinity);
        for (var rate = first; held == 0 || double.IsInfinity(failed);)
        {
            if (await HoldsAsync(holds, rate))
            {
                held = rate;
                rate *= step;
            }
            else
            {
                failed = rate;
                rate /= step;
            }

            if (rate is < Least or > Most)
            {
                throw new CommandException(held == 0 ? $"the server does not hold {failed:F1} rankings a second" : $"the server holds {held:F0} rankings a second, more than is looked for");
            }
        }

        while (failed / held > precision)
        {
            var rate = Math.Sqrt(held * failed);
            (held, failed) = await HoldsAsync(holds, rate) ? (rate, failed) : (held, rate);
        }

        return held;
    }

    private async Task<bool> HoldsAsync(Func<double, Task<bool>> holds, double rate)
    {
        for (var attempt = 0; attempt < attempts; attempt++)
        {
            if (await holds(rate))
            {
                return true;
            }
        }

        return false;
    }
}
