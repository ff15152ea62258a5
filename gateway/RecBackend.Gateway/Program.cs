using RecBackend.Gateway;
using RecBackend.Http.Configuration;

try
{
    await GatewayHost.Build(args).RunAsync();
    return 0;
}
catch (Exception e) when (e is ConfigurationException or IOException)
{
    await Console.Error.WriteLineAsync($"recbackend-gateway: {e.Message.ReplaceLineEndings(" ")}");
    return 1;
}
