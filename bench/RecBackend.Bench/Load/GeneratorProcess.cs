using System.Text.Json;
using RecBackend.Bench.Measuring;
using RecBackend.Bench.Processes;
using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Load;

/// <summary>Offers a load from a process that ends with it.</summary>
internal static class GeneratorProcess
{
    // Collections of a small heap on one thread: those of the server's kind would take a processor from the server under test.
    private static readonly Dictionary<string, string> Environment = new() { ["DOTNET_gcServer"] = "0", ["DOTNET_gcConcurrent"] = "0" };

    private static readonly TimeSpan Start = TimeSpan.FromSeconds(60);

    /// <summary>Does what <paramref name="plan"/> says.</summary>
    /// <param name="plan">Whom to ask for what, and how often.</param>
    /// <param name="folder">Takes the files by which the two processes talk.</param>
    /// <param name="cancellation">Stops the process.</param>
    /// <param name="apart">Whether it has the last processor, and no other.</param>
    /// <exception cref="CommandException">The process failed.</exception>
    public static async Task<LoadPoint> MeasureAsync(LoadPlan plan, string folder, CancellationToken cancellation, bool apart = false)
    {
        var (planFile, resultFile) = (Path.Combine(folder, "plan.json"), Path.Combine(folder, "result.json"));
        File.Delete(resultFile);
        await File.WriteAllTextAsync(planFile, JsonSerializer.Serialize(plan, LoadJson.Options), cancellation);
        await using var generator = StartGenerator(planFile, resultFile, apart);
        await generator.Exited.WaitAsync(plan.WarmUp + plan.Measured + (plan.Storm?.Length + plan.Storm?.After ?? TimeSpan.Zero) + plan.Patience + Start, cancellation);
        if (!File.Exists(resultFile))
        {
            throw generator.EndedTooEarly();
        }

        return JsonSerializer.Deserialize<LoadPoint>(await File.ReadAllTextAsync(resultFile, cancellation), LoadJson.Options)!;
    }

    private static ChildProcess StartGenerator(string planFile, string resultFile, bool apart)
    {
        using var share = apart ? ProcessorShare.OfLast() : null;
        return ChildProcess.Start(
            "generator", typeof(GeneratorProcess).Assembly.Location, ["generate", "--plan", planFile, "--result", resultFile], logFile: null, Environment);
    }

    /// <summary>Asks one after the other, so that the code is compiled, the users are encoded, and no rate pays for the ones before it.</summary>
    /// <exception cref="CommandException">An answer is not by the model.</exception>
    public static async Task AskEachOnceAsync(Uri target, Version http, ReadOnlyMemory<byte>[] bodies, TimeSpan? deadline, CancellationToken cancellation)
    {
        using var exchange = Exchange.Create(target, http, bodies, deadline);
        var progress = new ProgressLines("asking each request once", bodies.Length);
        for (var i = 0; i < bodies.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            if (await exchange.SendAsync(i, cancellation) is Outcome.Broken or Outcome.Unexpected or Outcome.FallbackOther)
            {
                throw new CommandException($"the server at {target} does not rank by its model");
            }

            progress.At(i + 1);
        }

        progress.Done();
    }
}
