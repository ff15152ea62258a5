using RecBackend.Core.Storage;
using RecBackend.Http.Configuration;
using RecBackend.Server;

try
{
    await ServerHost.RunAsync(args);
    return 0;
}
catch (Exception e) when (e is ConfigurationException or StorageException or IOException or UnauthorizedAccessException)
{
    // What an operator can put right is one line; anything else is a defect and shows where it is.
    await Console.Error.WriteLineAsync($"recbackend-server: {e.Message.ReplaceLineEndings(" ")}");
    return 1;
}
