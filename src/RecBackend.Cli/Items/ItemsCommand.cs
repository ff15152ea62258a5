using System.CommandLine;
using RecBackend.Cli.Loading;

namespace RecBackend.Cli.Items;

/// <summary><c>rec items load</c>.</summary>
internal static class ItemsCommand
{
    public static Command Create() => new("items", "The catalogue of a server.") { CreateLoad() };

    private static Command CreateLoad()
    {
        var file = new Argument<FileInfo>("FILE") { Description = "Items in the neutral form, one JSON object a line; `image` is a path relative to the file." };
        file.AcceptExistingOnly();
        var command = new Command("load", "Insert or replace the items of a file.") { file };
        var connection = new Connection().AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = connection.Open(parsed);
            var (stored, rejected) = await CatalogLoader.LoadItemsAsync(client, parsed.GetValue(file)!.FullName, cancellation);
            Console.WriteLine($"{stored} items stored, {rejected} rejected");
            return rejected == 0 ? 0 : 1;
        });
        return command;
    }
}
