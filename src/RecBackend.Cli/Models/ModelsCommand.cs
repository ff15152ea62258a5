using System.CommandLine;
using System.Globalization;
using RecBackend.Client;
using Spectre.Console;

namespace RecBackend.Cli.Models;

/// <summary><c>rec models list | push | activate | rollback</c>.</summary>
internal static class ModelsCommand
{
    public static Command Create() => new("models", "The model bundles of a server.") { CreateList(), CreatePush(), CreateActivate(), CreateRollback() };

    private static Command CreateList()
    {
        var command = new Command("list", "Show the stored bundles; * is active, - is what a rollback returns to.");
        var connection = new Connection().AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = connection.Open(parsed);
            Print(await client.ListModelsAsync(cancellation));
            return 0;
        });
        return command;
    }

    private static Command CreatePush()
    {
        var path = new Argument<string>("BUNDLE") { Description = "A bundle: its folder, or a zip of it." };
        var activate = new Option<bool>("--activate") { Description = "Also activate it." };
        var command = new Command("push", "Upload a bundle.") { path, activate };
        var connection = new Connection().AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = connection.Open(parsed);
            using var zip = BundleFile.Open(parsed.GetValue(path)!).OpenZip();
            var model = await client.PushModelAsync(zip, cancellation);
            Console.WriteLine($"stored {model.Version}");
            return parsed.GetValue(activate) ? await ActivateAsync(client, model.Version, cancellation) : 0;
        });
        return command;
    }

    private static Command CreateActivate()
    {
        var version = new Argument<string>("VERSION") { Description = "Version of a stored bundle." };
        var command = new Command("activate", "Encode every item with a stored bundle, then rank with it.") { version };
        var connection = new Connection().AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = connection.Open(parsed);
            return await ActivateAsync(client, parsed.GetValue(version)!, cancellation);
        });
        return command;
    }

    private static Command CreateRollback()
    {
        var command = new Command("rollback", "Return to the bundle that was active before.");
        var connection = new Connection().AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = connection.Open(parsed);
            var active = (await client.ListModelsAsync(cancellation)).Active ?? throw new CommandException("no bundle is active, so there is none to leave");
            await Activation.WaitAsync(client, await client.RollBackModelAsync(active, cancellation), "rolling back", cancellation);
            Console.WriteLine($"active: {(await client.ListModelsAsync(cancellation)).Active}");
            return 0;
        });
        return command;
    }

    private static async Task<int> ActivateAsync(RecBackendClient client, string version, CancellationToken cancellation)
    {
        await Activation.WaitAsync(client, await client.ActivateModelAsync(version, cancellation), $"activating {version}", cancellation);
        Console.WriteLine($"active: {version}");
        return 0;
    }

    private static void Print(ModelList list)
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumn("").AddColumn("version").AddColumn("recipe").AddColumn("made")
            .AddColumn(new TableColumn("size").RightAligned()).AddColumn(new TableColumn("test AUC").RightAligned());
        foreach (var model in list.Models)
        {
            var auc = model.Metrics?.GetValueOrDefault("test")?.TryGetValue("auc", out var value) == true ? value.ToString("F4", CultureInfo.InvariantCulture) : "";
            table.AddRow(
                model.Version == list.Active ? "*" : model.Version == list.Previous ? "-" : "",
                Markup.Escape(model.Version),
                Markup.Escape(model.Recipe ?? ""),
                model.Created?.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture) ?? "",
                string.Create(CultureInfo.InvariantCulture, $"{model.Bytes / 1e6:F1} MB"),
                auc);
        }

        AnsiConsole.Write(table);
    }
}
