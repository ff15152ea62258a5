using Azure;
using Azure.Identity;
using RecBackend.Hosting;
using RecBackend.Silo;
using StackExchange.Redis;

return await ServingHost.RunAsync(
    "recbackend-silo",
    () => SiloHost.RunAsync(args),
    failure => failure is RedisException or RequestFailedException or CredentialUnavailableException or OrleansConfigurationException);
