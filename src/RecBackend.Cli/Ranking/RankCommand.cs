using System.CommandLine;
using System.Globalization;
using RecBackend.Client;
using Spectre.Console;

namespace RecBackend.Cli.Ranking;

/// <summary><c>rec rank</c>: ranks items for a user and prints a table.</summary>
internal static class RankCommand
{
    private const int TitlesShown = 50;

    public static Command Create()
    {
        var user = new Option<string>("--user") { Description = "The user's ID.", Required = true };
        var items = new Option<string[]>("--items")
        {
            Description = "IDs of the candidates, with commas between.",
            Required = true,
            AllowMultipleArgumentsPerToken = true,
            CustomParser = result => [.. result.Tokens.SelectMany(token => token.Value.Split(',', StringSplitOptions.RemoveEmptyEntries))],
        };
        var limit = new Option<int?>("--limit") { Description = "How many of the best to show." };
        var command = new Command("rank", "Rank items for a user.") { user, items, limit };
        var connection = new Connection().AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = connection.Open(parsed);
            var ranking = await client.RankAsync(
                new RankRequest { User = parsed.GetValue(user)!, Items = parsed.GetValue(items)!, Limit = parsed.GetValue(limit) }, cancellation);
            Print(ranking, await TitlesAsync(client, ranking, cancellation));
            return 0;
        });
        return command;
    }

    /// <summary>Titles of the ranked items, for people; none beyond what fits a screen.</summary>
    private static async Task<string?[]> TitlesAsync(RecBackendClient client, Client.Ranking ranking, CancellationToken cancellation)
    {
        var shown = ranking.Items.Take(TitlesShown).Select(item => client.GetItemAsync(item.Id, cancellation));
        return [.. (await Task.WhenAll(shown)).Select(item => item?.Title)];
    }

    private static void Print(Client.Ranking ranking, string?[] titles)
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumn(new TableColumn("#").RightAligned()).AddColumn("item").AddColumn("title")
            .AddColumn(new TableColumn("score").RightAligned()).AddColumn("");
        foreach (var (place, item) in ranking.Items.Index())
        {
            table.AddRow(
                (place + 1).ToString(CultureInfo.InvariantCulture),
                Markup.Escape(item.Id),
                Markup.Escape(titles.ElementAtOrDefault(place) ?? ""),
                item.Score.ToString("F4", CultureInfo.InvariantCulture),
                item.Cold ? "new to the model" : "");
        }

        AnsiConsole.Write(table);
        Console.WriteLine($"{(ranking.ByModel ? "model" : $"fallback ({ranking.Reason})")} {ranking.Model}, {ranking.TookUs} µs");
        if (ranking.Unknown.Count > 0)
        {
            Console.WriteLine($"unknown: {string.Join(", ", ranking.Unknown)}");
        }
    }
}
