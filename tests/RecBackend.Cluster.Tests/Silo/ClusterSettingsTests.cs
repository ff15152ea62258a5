using Microsoft.Extensions.Configuration;
using RecBackend.Grains.Placement;
using RecBackend.Http.Configuration;
using RecBackend.Silo;

namespace RecBackend.Cluster.Tests.Silo;

public sealed class ClusterSettingsTests
{
    private static readonly Dictionary<string, string?> Complete = new()
    {
        ["C:Redis"] = "10.0.0.1:6379",
        ["C:AdvertisedAddress"] = "10.0.0.7",
        ["C:Address"] = "http://10.0.0.7:8080",
        ["C:Blobs:ServiceUri"] = "https://account.blob.core.windows.net",
    };

    [Theory]
    [InlineData("C:Redis", null)]
    [InlineData("C:Redis", "10.0.0.1:6379,nonsense=1")]
    [InlineData("C:Development", "yes")]
    [InlineData("C:Development", "localhost")]
    [InlineData("C:AdvertisedAddress", null)]
    [InlineData("C:AdvertisedAddress", "silo-1")]
    [InlineData("C:Address", null)]
    [InlineData("C:Address", "10.0.0.7:8080")]
    [InlineData("C:SiloPort", "70000")]
    [InlineData("C:GatewayPort", "-1")]
    [InlineData("C:ItemShards", "0")]
    [InlineData("C:Roles:0", "cook")]
    [InlineData("C:Roles", "entity")]
    [InlineData("C:Blobs:Contaner", "x")]
    [InlineData("C:Shards", "4")]
    public void Wrong_setting_is_refused_by_name(string key, string? value)
    {
        var refusal = Assert.Throws<ConfigurationException>(() => Read(new(Complete) { [key] = value }));
        Assert.Equal(key, refusal.Key);
    }

    [Theory]
    [InlineData("C:Blobs:ServiceUri", null, "C:Blobs")]
    [InlineData("C:Blobs:ConnectionString", "UseDevelopmentStorage=true", "C:Blobs")]
    public void Blobs_need_exactly_one_account(string key, string? value, string named)
    {
        var refusal = Assert.Throws<ConfigurationException>(() => Read(new(Complete) { [key] = value }));
        Assert.Equal(named, refusal.Key);
    }

    [Fact]
    public void Silo_without_roles_has_both()
    {
        Assert.Equal(SiloRole.Entity | SiloRole.Scoring, Read(Complete).Engine.Roles);
        Assert.Equal(SiloRole.Scoring, Read(new(Complete) { ["C:Roles:0"] = "Scoring" }).Engine.Roles);
    }

    [Fact]
    public void Cluster_of_one_process_needs_blobs_only()
    {
        var settings = Read(new() { ["C:Development"] = "localhost", ["C:Blobs:ConnectionString"] = "UseDevelopmentStorage=true" });
        Assert.Null(settings.Redis);
    }

    private static ClusterSettings Read(Dictionary<string, string?> settings) =>
        ClusterSettings.Read(new ConfigurationBuilder().AddInMemoryCollection(settings).Build().GetSection("C"));
}
