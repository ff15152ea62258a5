using System.Diagnostics;
using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace RecBackend.Cli.Terminal;

/// <summary>
/// Shows how far long work is: a bar with rate and time left on a terminal, else a plain line every few seconds. Goes to standard error, so that standard output
/// holds results only.
/// </summary>
internal static class LongWork
{
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(5);

    /// <summary>Runs <paramref name="work"/>, which reports how many of <paramref name="total"/> entries are done.</summary>
    /// <param name="what">What is done, such as <c>loading items</c>.</param>
    /// <param name="total">Number of entries.</param>
    /// <param name="work">The work; calls its argument with the entries done so far, from any one thread at a time.</param>
    public static Task RunAsync(string what, long total, Func<Action<long>, Task> work) =>
        Console.IsErrorRedirected ? RunPlainAsync(what, total, work) : RunOnTerminalAsync(what, total, work);

    private static async Task RunOnTerminalAsync(string what, long total, Func<Action<long>, Task> work)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        await console.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RateColumn(), new RemainingTimeColumn())
            .StartAsync(async context =>
            {
                var task = context.AddTask(Markup.Escape(what), maxValue: Math.Max(1, total));
                await work(done => task.Value = done);
                task.Value = task.MaxValue;
            });
    }

    private static async Task RunPlainAsync(string what, long total, Func<Action<long>, Task> work)
    {
        var clock = Stopwatch.StartNew();
        var lastLine = TimeSpan.Zero;
        var last = 0L;
        await work(done =>
        {
            last = done;
            if (clock.Elapsed - lastLine >= LineInterval)
            {
                lastLine = clock.Elapsed;
                Console.Error.WriteLine(Line(what, done, total, clock.Elapsed));
            }
        });
        var done = Math.Max(last, total);
        var rate = done / Math.Max(clock.Elapsed.TotalSeconds, 1e-3);
        Console.Error.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{what}: {(done == 0 ? "done" : $"{done:N0}")} in {clock.Elapsed.TotalSeconds:F1} s{(done == 0 ? "" : $", {rate:N0}/s")}"));
    }

    private static string Line(string what, long done, long total, TimeSpan elapsed)
    {
        var rate = done / elapsed.TotalSeconds;
        var left = rate > 0 ? TimeSpan.FromSeconds((total - done) / rate) : TimeSpan.Zero;
        return string.Create(CultureInfo.InvariantCulture, $"{what}: {done:N0} of {total:N0}, {rate:N0}/s, {Math.Ceiling(left.TotalSeconds):N0} s left");
    }

    private sealed class RateColumn : ProgressColumn
    {
        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            new Text(task.Speed is { } speed ? string.Create(CultureInfo.InvariantCulture, $"{speed:N0}/s") : "", new Style(foreground: Color.Grey));
    }
}
