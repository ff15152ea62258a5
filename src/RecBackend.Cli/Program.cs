using System.CommandLine;
using RecBackend.Cli;
using RecBackend.Cli.Data;
using RecBackend.Client;

// Ctrl-C and SIGTERM cancel the command; `up` then needs time to stop its children in peace.
var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(60) };
try
{
    return await RecCommand.Create().Parse(args).InvokeAsync(configuration);
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
