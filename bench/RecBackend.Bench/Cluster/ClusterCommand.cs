using System.CommandLine;
using System.Globalization;
using RecBackend.Bench.DataSets;
using RecBackend.Cli;

namespace RecBackend.Bench.Cluster;

/// <summary><c>rec bench cluster</c>.</summary>
internal static class ClusterCommand
{
    public static Command Create()
    {
        var only = new Option<string>("--only")
        {
            Description = $"Parts to measure, separated by commas: {string.Join(", ", ClusterOptions.AllParts)}.",
            DefaultValueFactory = _ => string.Join(',', ClusterOptions.AllParts),
        };
        var items = WholeNumber.Option("--items", "Items of the bulk load and of the restart.", 100_000, 1_000, 100_000_000);
        var text = WholeNumber.Option("--text", "Characters of an item's text.", 500, 0, 10_000);
        var streams = WholeNumber.Option("--streams", "Calls that load items at once.", 8, 1, 100);
        var seconds = WholeNumber.Option("--seconds", "Measured time of each load, in seconds.", 10, 1, 600);
        var share = new Option<double>("--share") { Description = "Processor time of each host in the scale-out, in cores.", DefaultValueFactory = _ => 0.25 };
        var state = new Option<string>("--state")
        {
            Description = "Folder on the disk to be used; a folder of its own is made there and removed.",
            DefaultValueFactory = _ => Path.GetTempPath(),
        };
        var json = new Option<bool>("--json") { Description = "Print the figures as JSON on the last line." };
        var command = new Command(
            "cluster",
            "The cluster engine as processes (Redis, Azurite, silos, gateway) over HTTP: bulk load, durable events against raw blob writes, time until an item is visible everywhere, restart, and rankings a second with one, two and three silos.")
        {
            only, items, text, streams, seconds, share, state, SampleOptions.Bundle, json,
        };
        only.Validators.Add(result =>
        {
            if (!result.GetValueOrDefault<string>().Split(',').All(ClusterOptions.AllParts.Contains))
            {
                result.AddError($"--only takes {string.Join(", ", ClusterOptions.AllParts)}, separated by commas.");
            }
        });
        share.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double>() is not (>= 0.1 and <= 1))
            {
                result.AddError(string.Create(CultureInfo.InvariantCulture, $"--share takes 0.1 to 1: a host that sees one processor cannot use more."));
            }
        });
        command.SetAction((parsed, cancellation) => new ClusterBenchmark(new ClusterOptions(
            parsed.GetValue(only)!.Split(','),
            parsed.GetValue(items),
            parsed.GetValue(text),
            parsed.GetValue(streams),
            TimeSpan.FromSeconds(parsed.GetValue(seconds)),
            parsed.GetValue(share),
            parsed.GetValue(state)!,
            parsed.GetValue(SampleOptions.Bundle)!)).RunAsync(parsed.GetValue(json), cancellation));
        return command;
    }
}
