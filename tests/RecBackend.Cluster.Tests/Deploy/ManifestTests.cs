using System.Text.RegularExpressions;
using Microsoft.Extensions.Configuration;
using RecBackend.Grains.Placement;
using RecBackend.Silo;

namespace RecBackend.Cluster.Tests.Deploy;

public sealed partial class ManifestTests
{
    [Theory]
    [InlineData("base/scoring.yaml", "Scoring")]
    [InlineData("base/entity.yaml", "Entity")]
    [InlineData("cuda/scoring.yaml", "Scoring")]
    public async Task Silo_reads_every_setting_of_its_manifest(string manifest, string role)
    {
        var settings = new Dictionary<string, string?>();
        var text = await ReadAsync($"kubernetes/{manifest}");
        if (manifest.StartsWith("cuda/", StringComparison.Ordinal))
        {
            text += await ReadAsync("kubernetes/base/scoring.yaml");
        }

        foreach (Match setting in Variable().Matches(text))
        {
            settings.Add(Key(setting.Groups[1].Value), setting.Groups[2].Value.Replace("$(RecBackend__Cluster__AdvertisedAddress)", "10.0.0.7", StringComparison.Ordinal));
        }

        // What the pod is told of itself.
        Assert.Contains("name: RecBackend__Cluster__AdvertisedAddress", text, StringComparison.Ordinal);
        settings.Add("RecBackend:Cluster:AdvertisedAddress", "10.0.0.7");
        var secrets = (await ReadAsync("kubernetes/secrets.example.yaml")).Split("---");
        foreach (Match setting in Entry().Matches(await ReadAsync("kubernetes/base/silos.yaml") + secrets[0]))
        {
            settings.Add(Key(setting.Groups[1].Value), setting.Groups[2].Value);
        }

        // Any that is not known is refused by its name.
        var cluster = Read(settings).Cluster;
        Assert.Equal(Enum.Parse<SiloRole>(role), cluster.Engine.Roles);
        Assert.Equal(new Uri("http://10.0.0.7:8080"), cluster.Engine.Address);
        Assert.NotNull(cluster.Redis);
    }

    [Fact]
    public async Task Silo_reads_every_setting_for_development()
    {
        var settings = (await ReadAsync("development.env")).Split('\n').Where(line => line.StartsWith("RecBackend__", StringComparison.Ordinal))
            .Select(line => line.Split('=', 2)).ToDictionary(pair => Key(pair[0]), pair => (string?)pair[1]);
        var options = Read(settings);
        Assert.True(options.Serving.Development);
        Assert.Equal(SiloRole.Entity | SiloRole.Scoring, options.Cluster.Engine.Roles);
    }

    private static SiloHostOptions Read(Dictionary<string, string?> settings) =>
        SiloHostOptions.Read(new ConfigurationBuilder().AddInMemoryCollection(settings).Build());

    private static string Key(string variable) => variable.Replace("__", ":", StringComparison.Ordinal);

    private static async Task<string> ReadAsync(string file)
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "global.json")))
        {
            folder = folder.Parent ?? throw new DirectoryNotFoundException("There is no checkout around the tests.");
        }

        return await File.ReadAllTextAsync(Path.Combine(folder.FullName, "deploy", file));
    }

    [GeneratedRegex(@"- name: (RecBackend__\w+)\s+value: (\S+)")]
    private static partial Regex Variable();

    [GeneratedRegex(@"^  (RecBackend__\w+): ""?(.*?)""?$", RegexOptions.Multiline)]
    private static partial Regex Entry();
}
