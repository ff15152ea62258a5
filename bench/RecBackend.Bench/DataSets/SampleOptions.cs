using System.CommandLine;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.DataSets;

/// <summary>Which bundle and which data are measured: by default the repository's demo.</summary>
internal static class SampleOptions
{
    public static Option<string> Bundle { get; } = Folder("--bundle", "Folder of the model bundle.", "samples/movielens/bundle", "manifest.json");

    public static Option<string> Data { get; } = Folder("--data", "Folder of items.jsonl and events.csv or events.csv.gz.", "samples/movielens", "items.jsonl");

    private static Option<string> Folder(string name, string description, string path, string mark)
    {
        var option = new Option<string>(name) { Description = $"{description} Default: {path}", DefaultValueFactory = _ => Path.Combine(Installation.Root, path) };
        option.Validators.Add(result =>
        {
            var folder = result.GetValueOrDefault<string>();
            if (!File.Exists(Path.Combine(folder, mark)))
            {
                result.AddError($"{name}: {folder} has no {mark}.");
            }
        });
        return option;
    }
}
