using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using RecBackend.Cli.Data;
using RecBackend.Cli.Loading;
using RecBackend.Cli.Models;
using RecBackend.Cli.Terminal;
using RecBackend.Client;
using Spectre.Console;

namespace RecBackend.Cli.Evaluation;

/// <summary><c>rec eval</c>: replays a data set's test part against a live server and measures how well it ranked.</summary>
internal static class EvalCommand
{
    // Enough to notice a server whose state is not the data's history; each costs one call.
    private const int CheckedUsers = 20;

    public static Command Create()
    {
        var data = new Option<string>("--data") { Description = "Folder of a data set in the neutral form.", Required = true };
        var bundle = new Option<string?>("--bundle") { Description = "The bundle that ranks there: its offline test metrics are shown beside the measured ones." };
        var concurrency = WholeNumber.Option(
            "--concurrency", "Users replayed at a time. 1 keeps the order of all rows, and so the item statistics of training.", 1, 1, int.MaxValue);
        var skipLoad = new Option<bool>("--skip-load") { Description = "The server has the data's items, users and history already, as after `rec up --data`." };
        var json = new Option<bool>("--json") { Description = "The last line is one JSON object." };
        var command = new Command("eval", "Replay a data set's test part against a live server, in the order of time: each ranking is asked for before its events are told. "
            + "The server keeps the events, so measure once on a fresh --state.") { data, bundle, concurrency, skipLoad, json };
        var connection = new Connection().AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            var offline = parsed.GetValue(bundle) is { } path ? BundleFile.Open(path).TestMetrics : null;
            using var client = connection.Open(parsed);
            var result = await EvaluateAsync(client, parsed.GetValue(data)!, parsed.GetValue(concurrency), parsed.GetValue(skipLoad), cancellation);
            Print(result.Result, result.Unranked, offline);
            if (parsed.GetValue(json))
            {
                Console.WriteLine(JsonSerializer.Serialize(Report(result.Result, result.Unranked, offline), EvalJson.Default.EvalReport));
            }

            return result.Result.Fallbacks == 0 && result.Unranked == 0 && result.Result.Rejected == 0 ? 0 : 1;
        });
        return command;
    }

    private static async Task<(ReplayResult Result, int Unranked)> EvaluateAsync(
        RecBackendClient client, string folder, int lanes, bool skipLoad, CancellationToken cancellation)
    {
        var data = DataFolder.Open(folder);
        var rows = EventsFile.Read(data.Events);
        var split = Split.Read(data, rows);
        var source = new EventSource(data.ComputeFingerprint());
        if (!skipLoad)
        {
            await RequireNoHistoryAsync(client, rows, cancellation);
            await LoadAsync(client, data, rows, split, source, cancellation);
        }

        await RequireHistoryAsync(client, rows, split, cancellation);
        var test = Enumerable.Range(split.FirstRanked, rows.Count - split.FirstRanked).Count(split.IsRanked);
        ReplayResult? result = null;
        await LongWork.RunAsync("replaying the test part", rows.Count - split.FirstRanked, async report =>
            result = await new Replay(client, rows, split, source).RunAsync(lanes, report, cancellation));
        return (result!, test - result!.Rows);
    }

    private static async Task LoadAsync(
        RecBackendClient client, DataFolder data, List<EventRow> rows, Split split, EventSource source, CancellationToken cancellation)
    {
        await CatalogLoader.LoadItemsAsync(client, data.Items, cancellation);
        if (data.Users is not null)
        {
            await CatalogLoader.LoadUsersAsync(client, data.Users, cancellation);
        }

        await HistoryLoader.LoadAsync(client, data.Events, rows, split, source, 0, _ => { }, cancellation);
    }

    private static async Task RequireNoHistoryAsync(RecBackendClient client, List<EventRow> rows, CancellationToken cancellation)
    {
        foreach (var user in rows.Select(row => row.User).Distinct(StringComparer.Ordinal).Take(CheckedUsers))
        {
            if (await client.GetUserAsync(user, cancellation) is { Impressions: > 0 })
            {
                throw new CommandException(
                    $"the server knows events of user {user} already: pass --skip-load if it was started with this data, or start one with an empty --state");
            }
        }
    }

    /// <summary>A wrong history would silently give wrong metrics: compares what the server counted of some test users with the data.</summary>
    private static async Task RequireHistoryAsync(RecBackendClient client, List<EventRow> rows, Split split, CancellationToken cancellation)
    {
        var users = Enumerable.Range(split.FirstRanked, rows.Count - split.FirstRanked).Where(split.IsRanked).Select(row => rows[row].User)
            .Distinct().Take(CheckedUsers).ToDictionary(user => user, _ => 0, StringComparer.Ordinal);
        for (var row = 0; row < split.FirstRanked; row++)
        {
            if (split.IsTold(row) && users.TryGetValue(rows[row].User, out var impressions))
            {
                users[rows[row].User] = impressions + 1;
            }
        }

        foreach (var (user, expected) in users)
        {
            var actual = (await client.GetUserAsync(user, cancellation))?.Impressions ?? 0;
            if (actual != expected)
            {
                throw new CommandException(
                    $"the server has {actual} impressions of user {user}, the data's history {expected}: measure on a server with a fresh --state (and without --skip-load if it was not started with this data)");
            }
        }
    }

    private static void Print(ReplayResult result, int unranked, IReadOnlyDictionary<string, double>? offline)
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumn("metric").AddColumn(new TableColumn("over HTTP").RightAligned());
        if (offline is not null)
        {
            table.AddColumn(new TableColumn("offline").RightAligned()).AddColumn(new TableColumn("difference").RightAligned());
        }

        foreach (var (name, key, value) in new[]
        {
            ("AUC", "auc", result.Auc), ("GAUC", "gauc", result.Gauc), ("log loss", "logloss", result.LogLoss), ("ECE", "ece", result.CalibrationError),
        })
        {
            List<string> cells = [name, Number(value)];
            if (offline is not null)
            {
                var known = offline.TryGetValue(key, out var expected);
                cells.AddRange(known ? [Number(expected), Difference(value - expected)] : ["", ""]);
            }

            table.AddRow([.. cells]);
        }

        AnsiConsole.Write(table);
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{result.Rows} rows in {result.Rankings} rankings by {string.Join(", ", result.Models)}; latency p50 {result.LatencyP50:F2} ms, p99 {result.LatencyP99:F2} ms"));
        if (result.Fallbacks > 0 || unranked > 0 || result.Rejected > 0)
        {
            Console.WriteLine($"not a clean run: {result.Fallbacks} rows by the fallback, {unranked} rows not ranked, {result.Rejected} events rejected");
        }
    }

    private static string Number(double value) => value.ToString("F5", CultureInfo.InvariantCulture);

    // Rounded first: a format with a sign for each side would show a tiny difference with both.
    private static string Difference(double value) => Math.Round(value, 5).ToString("+0.00000;-0.00000;0.00000", CultureInfo.InvariantCulture);

    private static EvalReport Report(ReplayResult result, int unranked, IReadOnlyDictionary<string, double>? offline) => new()
    {
        Rows = result.Rows,
        Auc = EvalReport.Finite(result.Auc),
        Gauc = EvalReport.Finite(result.Gauc),
        Logloss = EvalReport.Finite(result.LogLoss),
        Ece = EvalReport.Finite(result.CalibrationError),
        Rankings = result.Rankings,
        LatencyP50Ms = EvalReport.Finite(result.LatencyP50),
        LatencyP99Ms = EvalReport.Finite(result.LatencyP99),
        Fallbacks = result.Fallbacks,
        Unranked = unranked,
        Rejected = result.Rejected,
        Models = result.Models,
        Offline = offline,
    };
}
