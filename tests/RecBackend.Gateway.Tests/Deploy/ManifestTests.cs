using System.Text.RegularExpressions;
using Microsoft.Extensions.Configuration;
using RecBackend.Gateway.Cluster;
using RecBackend.Http.Authentication;

namespace RecBackend.Gateway.Tests.Deploy;

public sealed partial class ManifestTests
{
    [Fact]
    public async Task Gateway_reads_every_setting_of_its_manifest()
    {
        var settings = new Dictionary<string, string?>();
        foreach (Match setting in EnvironmentVariable().Matches(await ReadAsync("base/gateway.yaml")))
        {
            settings.Add(Key(setting.Groups[1].Value), setting.Groups[2].Value);
        }

        var secrets = (await ReadAsync("secrets.example.yaml")).Split("---").Where(secret => secret.Contains("recbackend-keys", StringComparison.Ordinal) || secret.Contains("name: recbackend-gateway", StringComparison.Ordinal));
        foreach (Match setting in Entry().Matches(string.Concat(secrets)))
        {
            settings.Add(Key(setting.Groups[1].Value), setting.Groups[2].Value);
        }

        settings["RecBackend:Keys:0:Hash"] = ApiKeyHash.Create().Hash.ToString();
        Assert.Equal(
            ["RecBackend:Gateway:Cluster:Key", "RecBackend:Gateway:Cluster:Seeds:0", "RecBackend:Keys:0:Hash", "RecBackend:Keys:0:Scopes"],
            settings.Keys.Order(StringComparer.Ordinal));
        var options = ClusterOptions.Read(new ConfigurationBuilder().AddInMemoryCollection(settings).Build());
        Assert.Equal(new Uri("http://recbackend-silos:8080"), Assert.Single(options!.Seeds));

        await using var gateway = GatewayHost.Build([.. settings.Select(setting => $"--{setting.Key}={setting.Value}")]);
    }

    private static string Key(string variable) => variable.Replace("__", ":", StringComparison.Ordinal);

    private static async Task<string> ReadAsync(string manifest)
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "global.json")))
        {
            folder = folder.Parent ?? throw new DirectoryNotFoundException("There is no checkout around the tests.");
        }

        return await File.ReadAllTextAsync(Path.Combine(folder.FullName, "deploy", "kubernetes", manifest));
    }

    [GeneratedRegex(@"- name: (RecBackend__\w+)\s+value: (\S+)")]
    private static partial Regex EnvironmentVariable();

    [GeneratedRegex(@"^  (RecBackend__\w+): ""(.*)""$", RegexOptions.Multiline)]
    private static partial Regex Entry();
}
