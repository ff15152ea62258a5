using System.CommandLine;
using RecBackend.Bench.DataSets;

namespace RecBackend.Bench.Ingest;

/// <summary><c>rec bench ingest</c>.</summary>
internal static class IngestCommand
{
    public static Command Create()
    {
        var seconds = new Option<int>("--seconds") { Description = "Measured time of each way to send, in seconds.", DefaultValueFactory = _ => 10 };
        var state = new Option<string>("--state")
        {
            Description = "Folder on the disk to be measured; a folder of its own is made there and removed.",
            DefaultValueFactory = _ => Path.GetTempPath(),
        };
        var json = new Option<bool>("--json") { Description = "Print the figures as JSON on the last line." };
        var command = new Command("ingest", "Events a second, each durable before it is acknowledged: batches of 100 from 8 writers, single events from 64 callers; in process and over HTTP.")
        {
            seconds, state, SampleOptions.Bundle, SampleOptions.Data, json,
        };
        seconds.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > 600)
            {
                result.AddError("--seconds takes 1 to 600.");
            }
        });
        command.SetAction((parsed, cancellation) => new IngestBenchmark(
            TimeSpan.FromSeconds(parsed.GetValue(seconds)),
            parsed.GetValue(state)!,
            parsed.GetValue(SampleOptions.Bundle)!,
            parsed.GetValue(SampleOptions.Data)!).RunAsync(parsed.GetValue(json), cancellation));
        return command;
    }
}
