using System.CommandLine;
using RecBackend.Bench.Ingest;
using RecBackend.Bench.Micro;
using RecBackend.Bench.Rank;

var root = new RootCommand("Measures RecBackend on this machine.")
{
    RankCommand.Create(),
    IngestCommand.Create(),
    MicroCommand.Create(),
};

return await root.Parse(args).InvokeAsync();
