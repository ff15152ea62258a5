using System.CommandLine;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace RecBackend.Bench.Micro;

/// <summary><c>rec bench micro</c>.</summary>
internal static class MicroCommand
{
    public static Command Create()
    {
        var filter = new Option<string>("--filter") { Description = "Which of them, with wildcards.", DefaultValueFactory = _ => "*" };
        var command = new Command("micro", "The steps of a ranking one by one (BenchmarkDotNet): look-up, gather, parse, top-k, write.") { filter };
        command.SetAction(parsed =>
        {
            // In this process: BenchmarkDotNet would otherwise generate and restore a project of its own, which central package versions and local packages do not allow.
            var config = ManualConfig.Create(DefaultConfig.Instance)
                .AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(5).WithIterationCount(10))
                .WithArtifactsPath(Path.Combine(Path.GetTempPath(), "recbackend-bench-micro"));
            var summaries = BenchmarkSwitcher.FromTypes([typeof(CatalogBenchmarks), typeof(WireBenchmarks)])
                .Run(["--filter", parsed.GetValue(filter)!], config);
            return summaries.Any() && !summaries.Any(x => x.HasCriticalValidationErrors) ? 0 : 1;
        });
        return command;
    }
}
