using System.CommandLine;
using System.Globalization;
using RecBackend.Bench.DataSets;
using RecBackend.Cli;
using RecBackend.Cli.Up;

namespace RecBackend.Bench.Curves;

/// <summary><c>rec bench curves</c>.</summary>
internal static class CurvesCommand
{
    private static readonly string[] All = ["catalog", "candidates", "history", "users"];

    public static Command Create()
    {
        var only = new Option<string>("--only") { Description = "Which, separated by commas: catalog, candidates, history, users.", DefaultValueFactory = _ => string.Join(',', All) };
        only.Validators.Add(result =>
        {
            if (!result.GetValueOrDefault<string>().Split(',').All(All.Contains))
            {
                result.AddError("--only takes catalog, candidates, history and users, separated by commas.");
            }
        });
        var candidates = Numbers("--candidates", "Numbers of candidates.", "10,20,50,100,200,500,1000,2000,5000", 5_000);
        var items = Numbers("--items", "Sizes of the catalogue. Ten million take 8 GB.", "10000,100000,1000000,10000000", 50_000_000);
        var catalogCandidates = WholeNumber.Option("--catalog-candidates", "Candidates of a request in the curve over the catalogue.", 1_000, 1, 5_000);
        var history = Numbers("--history", "Lengths of the history.", "1,2,5,10,20,50,100,200", 200);
        var users = Numbers("--users", "Numbers of users.", "100,1000,10000", 1_000_000);
        var requests = WholeNumber.Option("--requests", "Measured rankings at each value.", 400, 100, 100_000);
        var seed = WholeNumber.Option("--seed", "Seed of everything random.", 1, 0, int.MaxValue);
        var plot = new Option<string>("--plot")
        {
            Description = "File of the plot (SVG). Default: artifacts/bench/curves.svg",
            DefaultValueFactory = _ => Path.Combine(Installation.Root, "artifacts/bench/curves.svg"),
        };
        var json = new Option<bool>("--json") { Description = "Print the figures as JSON on the last line." };
        var command = new Command("curves", "Cost of a ranking in process over candidates, size of the catalogue, length of the history and number of users; memory of an item.")
        {
            only, candidates, items, catalogCandidates, history, users, requests, seed, plot, SampleOptions.Bundle, SampleOptions.Data, json,
        };
        command.SetAction((parsed, cancellation) => new CurvesBenchmark(new CurvesOptions
        {
            Curves = parsed.GetValue(only)!.Split(','),
            Candidates = Parse(parsed.GetValue(candidates)!),
            Items = Parse(parsed.GetValue(items)!),
            CatalogCandidates = parsed.GetValue(catalogCandidates),
            History = Parse(parsed.GetValue(history)!),
            Users = Parse(parsed.GetValue(users)!),
            Requests = parsed.GetValue(requests),
            Seed = parsed.GetValue(seed),
            Plot = Path.GetFullPath(parsed.GetValue(plot)!),
            Bundle = Path.GetFullPath(parsed.GetValue(SampleOptions.Bundle)!),
            Data = Path.GetFullPath(parsed.GetValue(SampleOptions.Data)!),
        }).RunAsync(parsed.GetValue(json), cancellation));
        return command;
    }

    private static Option<string> Numbers(string name, string description, string usual, int most)
    {
        var option = new Option<string>(name) { Description = $"{description} Separated by commas.", DefaultValueFactory = _ => usual };
        option.Validators.Add(result =>
        {
            if (!result.GetValueOrDefault<string>().Split(',').All(x => int.TryParse(x, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= 1 && number <= most))
            {
                result.AddError(string.Create(CultureInfo.InvariantCulture, $"{name} takes whole numbers from 1 to {most}, separated by commas."));
            }
        });
        return option;
    }

    private static int[] Parse(string numbers) => [.. numbers.Split(',').Select(x => int.Parse(x, CultureInfo.InvariantCulture)).Order()];
}
