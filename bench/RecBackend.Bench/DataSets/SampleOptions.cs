using System.CommandLine;

namespace RecBackend.Bench.DataSets;

/// <summary>Which bundle and which data are measured: by default the repository's demo.</summary>
internal static class SampleOptions
{
    private static readonly string Root = FindRoot();

    public static Option<string> Bundle { get; } = Folder("--bundle", "Folder of the model bundle.", "samples/movielens/bundle", "manifest.json");

    public static Option<string> Data { get; } = Folder("--data", "Folder of items.jsonl and events.csv or events.csv.gz.", "samples/movielens", "items.jsonl");

    /// <summary>Folder of the built program <paramref name="project"/>, such as <c>src/RecBackend.Server</c>.</summary>
    public static string Program(string project)
    {
        // This program's own folder ends in bin/Release/net10.0: what is measured is built the same way.
        var build = new DirectoryInfo(AppContext.BaseDirectory);
        var path = Path.Combine(Root, project, "bin", build.Parent!.Name, build.Name, Path.GetFileName(project) + ".dll");
        return File.Exists(path) ? path : throw new FileNotFoundException($"{path} is not built; `rec bench` builds it.", path);
    }

    private static Option<string> Folder(string name, string description, string path, string mark)
    {
        var option = new Option<string>(name) { Description = $"{description} Default: {path}", DefaultValueFactory = _ => Path.Combine(Root, path) };
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

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "RecBackend.sln")))
            {
                return folder.FullName;
            }
        }

        throw new DirectoryNotFoundException("The bench measures the repository that it was built in, and that is gone: no RecBackend.sln above " + AppContext.BaseDirectory);
    }
}
