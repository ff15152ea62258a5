using System.CommandLine;
using System.CommandLine.Help;
using RecBackend.Cli;
using RecBackend.Cli.Data;
using RecBackend.Cli.Evaluation;
using RecBackend.Cli.Items;
using RecBackend.Cli.Keys;
using RecBackend.Cli.Models;
using RecBackend.Cli.Ranking;
using RecBackend.Cli.Up;
using RecBackend.Client;

var rec = new Command("rec", "RecBackend's command line.")
{
    UpCommand.Create(),
    RankCommand.Create(),
    ItemsCommand.Create(),
    ModelsCommand.Create(),
    KeysCommand.Create(),
    EvalCommand.Create(),
};
rec.Options.Add(new HelpOption());

// Ctrl-C and SIGTERM cancel the command; `up` then needs time to stop its children in peace.
var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(60) };
try
{
    return await rec.Parse(args).InvokeAsync(configuration);
}
catch (OperationCanceledException)
{
    return 130;
}
catch (Exception e) when (e is CommandException or DataException or ProblemException or HttpRequestException or IOException or UnauthorizedAccessException)
{
    await Console.Error.WriteLineAsync($"rec: {e.Message}");
    return 1;
}
