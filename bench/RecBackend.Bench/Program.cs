using System.CommandLine;
using RecBackend.Bench.Cluster;
using RecBackend.Bench.Curves;
using RecBackend.Bench.Ingest;
using RecBackend.Bench.Load;
using RecBackend.Bench.Micro;
using RecBackend.Bench.Peer;
using RecBackend.Bench.Rank;
using RecBackend.Bench.Start;
using RecBackend.Cli;

var root = new RootCommand("Measures RecBackend on this machine.")
{
    RankCommand.Create(),
    LoadCommand.Create(),
    GenerateCommand.Create(),
    PeerCommand.Create(),
    CurvesCommand.Create(),
    IngestCommand.Create(),
    StartCommand.Create(),
    ClusterCommand.Create(),
    MicroCommand.Create(),
};

// Ctrl-C cancels; the processes that were started then need time to stop in peace.
var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(60) };
try
{
    return await root.Parse(args).InvokeAsync(configuration);
}
catch (OperationCanceledException)
{
    return 130;
}
catch (Exception e)
{
    // Caught in any case: one that nobody catches ends this process before the others that it started are stopped.
    await Console.Error.WriteLineAsync($"bench: {(e is CommandException ? e.Message : e)}");
    return 1;
}
