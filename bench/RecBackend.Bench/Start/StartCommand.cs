using System.CommandLine;
using RecBackend.Bench.DataSets;

namespace RecBackend.Bench.Start;

/// <summary><c>rec bench start</c>.</summary>
internal static class StartCommand
{
    public static Command Create()
    {
        var items = new Option<int>("--items") { Description = "Items of the state that the server starts with.", DefaultValueFactory = _ => 1_000_000 };
        var starts = new Option<int>("--starts") { Description = "How often it is started.", DefaultValueFactory = _ => 3 };
        var state = new Option<string>("--state")
        {
            Description = "Folder on the disk to be measured; a folder of its own is made there and removed.",
            DefaultValueFactory = _ => Path.GetTempPath(),
        };
        var json = new Option<bool>("--json") { Description = "Print the figures as JSON on the last line." };
        var command = new Command("start", "Time from the start of a server that has many items until it answers rankings by its model.") { items, starts, state, SampleOptions.Bundle, json };
        items.Validators.Add(result => Require(result, 1, 100_000_000));
        starts.Validators.Add(result => Require(result, 1, 100));
        command.SetAction((parsed, cancellation) => new StartBenchmark(
            parsed.GetValue(items), parsed.GetValue(starts), parsed.GetValue(state)!, parsed.GetValue(SampleOptions.Bundle)!).RunAsync(parsed.GetValue(json), cancellation));
        return command;
    }

    private static void Require(System.CommandLine.Parsing.OptionResult result, int least, int most)
    {
        if (result.GetValueOrDefault<int>() < least || result.GetValueOrDefault<int>() > most)
        {
            result.AddError($"{result.Option.Name} takes {least:N0} to {most:N0}.");
        }
    }
}
