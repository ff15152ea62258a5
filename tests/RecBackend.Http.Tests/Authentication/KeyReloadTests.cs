using System.Net.Http.Headers;
using Microsoft.Extensions.Configuration;
using RecBackend.Http.Authentication;
using RecBackend.Http.Tests.Hosting;

namespace RecBackend.Http.Tests.Authentication;

public sealed class KeyReloadTests
{
    [Fact]
    public async Task Host_takes_changed_keys_without_a_restart_and_closes_when_it_gets_some()
    {
        await using var host = await RunningHost.StartAsync(new HostSettings { Items = false });
        Assert.Equal(200, (await host.GetAsync("/v1/models")).Status);

        var (key, hash) = ApiKeyHash.Create();
        var configuration = (IConfigurationRoot)host.App.Configuration;
        configuration["RecBackend:Keys:0:Hash"] = hash.ToString();
        configuration["RecBackend:Keys:0:Scopes"] = "admin";
        configuration.Reload();
        (await host.GetAsync("/v1/models")).IsProblem(401, "key_missing");
        host.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
        Assert.Equal(200, (await host.GetAsync("/v1/models")).Status);

        var (_, other) = ApiKeyHash.Create();
        configuration["RecBackend:Keys:0:Hash"] = other.ToString();
        configuration.Reload();
        (await host.GetAsync("/v1/models")).IsProblem(401, "key_invalid");
    }

    [Fact]
    public async Task Key_file_that_vanishes_leaves_its_keys_in_force()
    {
        var folder = Directory.CreateTempSubdirectory("recbackend-keys-").FullName;
        try
        {
            var (key, hash) = ApiKeyHash.Create();
            var file = Path.Combine(folder, "keys.json");
            await File.WriteAllTextAsync(file, $$"""{"RecBackend:Keys:0:Hash":"{{hash}}","RecBackend:Keys:0:Scopes":"admin"}""");
            await using var host = await RunningHost.StartAsync(new HostSettings { Items = false });
            var configuration = (IConfigurationRoot)host.App.Configuration;
            ((IConfigurationBuilder)configuration).AddJsonFile(file, optional: true);
            (await host.GetAsync("/v1/models")).IsProblem(401, "key_missing");

            File.Delete(file);
            configuration.Reload();
            Assert.Empty(configuration.GetSection("RecBackend:Keys").GetChildren());
            (await host.GetAsync("/v1/models")).IsProblem(401, "key_missing");
            host.Client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
            Assert.Equal(200, (await host.GetAsync("/v1/models")).Status);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
