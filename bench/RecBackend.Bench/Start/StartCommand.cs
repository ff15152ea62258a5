using System.CommandLine;
using RecBackend.Bench.DataSets;
using RecBackend.Cli;

namespace RecBackend.Bench.Start;

/// <summary><c>rec bench start</c>.</summary>
internal static class StartCommand
{
    public static Command Create()
    {
        var items = WholeNumber.Option("--items", "Items of the state that the server starts with.", 1_000_000, 1, 100_000_000);
        var starts = WholeNumber.Option("--starts", "How often it is started.", 3, 1, 100);
        var state = new Option<string>("--state")
        {
            Description = "Folder on the disk to be measured; a folder of its own is made there and removed.",
            DefaultValueFactory = _ => Path.GetTempPath(),
        };
        var json = new Option<bool>("--json") { Description = "Print the figures as JSON on the last line." };
        var command = new Command("start", "Time from the start of a server that has many items until it answers rankings by its model.") { items, starts, state, SampleOptions.Bundle, json };
        command.SetAction((parsed, cancellation) => new StartBenchmark(
            parsed.GetValue(items), parsed.GetValue(starts), parsed.GetValue(state)!, parsed.GetValue(SampleOptions.Bundle)!).RunAsync(parsed.GetValue(json), cancellation));
        return command;
    }
}
