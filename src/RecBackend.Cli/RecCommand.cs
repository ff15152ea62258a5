using System.CommandLine;
using System.CommandLine.Help;
using RecBackend.Cli.Evaluation;
using RecBackend.Cli.Items;
using RecBackend.Cli.Keys;
using RecBackend.Cli.Models;
using RecBackend.Cli.Ranking;
using RecBackend.Cli.Up;

namespace RecBackend.Cli;

/// <summary>All commands. The verbs that are not here (setup, test, train, bench) belong to the script <c>rec</c>.</summary>
internal static class RecCommand
{
    public static Command Create()
    {
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
        return rec;
    }
}
