using System.CommandLine;

namespace RecBackend.Cli.Up;

/// <summary><c>rec up</c>: server and gateway on this machine, with a catalogue and a model, until it is told to stop.</summary>
internal static class UpCommand
{
    private const int DefaultPort = 8080;

    // Of one machine: each is a process with a model of its own.
    private const int MostSilos = 9;

    public static Command Create()
    {
        var data = new Option<string?>("--data") { Description = "Folder of a data set in the neutral form. [default: samples/movielens]" };
        var bundle = new Option<string?>("--bundle") { Description = "The model bundle: its folder, or a zip. [default: the folder `bundle` of the data]" };
        var port = WholeNumber.Option("--port", "The gateway's port.", DefaultPort, 1, ushort.MaxValue);
        var state = new Option<string?>("--state") { Description = "Where users, items and bundles are kept between runs. [default: recbackend in the user's data folder]" };
        var silos = WholeNumber.Option("--silos", "Silos of a local cluster, with Redis and Azurite, in place of the one server.", 0, 0, MostSilos);
        var command = new Command("up", "Start server and gateway on this machine in development mode, load a data set and a model, and rank until Ctrl-C.")
        {
            data, bundle, port, state, silos,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var folder = Path.GetFullPath(parsed.GetValue(data) ?? Path.Combine(Installation.Root, "samples", "movielens"));
            var options = new UpOptions(
                folder,
                Path.GetFullPath(parsed.GetValue(bundle) ?? Path.Combine(folder, "bundle")),
                parsed.GetValue(port),
                StateOf(Path.GetFullPath(parsed.GetValue(state) ?? DefaultState()), parsed.GetValue(silos)),
                parsed.GetValue(silos));
            await new LocalStack(options).RunAsync(address => Console.WriteLine($"ready {address.GetLeftPart(UriPartial.Authority)}"), cancellation);
            return 0;
        });
        return command;
    }

    // What a cluster keeps is of another form than what the server keeps, and was loaded apart from it.
    private static string StateOf(string folder, int silos) => silos == 0 ? folder : Path.Combine(folder, "cluster");

    private static string DefaultState() =>
        Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.Create), "recbackend");
}
