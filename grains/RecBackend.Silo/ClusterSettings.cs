using System.Net;
using Azure.Identity;
using Azure.Storage.Blobs;
using RecBackend.Grains.Hosting;
using RecBackend.Grains.Placement;
using RecBackend.Hosting;
using RecBackend.Http.Configuration;
using StackExchange.Redis;

namespace RecBackend.Silo;

/// <summary>The section <c>RecBackend:Cluster</c>. Its keys are in docs/cluster.md.</summary>
internal sealed record ClusterSettings
{
    private const string Localhost = "localhost";
    private const string DefaultName = "recbackend";

    private static readonly string[] KnownKeys =
        ["ClusterId", "ServiceId", "Redis", "Development", "SiloPort", "GatewayPort", "AdvertisedAddress", "Roles", "ItemShards", "ContentCacheMiB", "UserCacheMiB", "Blobs", "Address"];

    private static readonly string[] BlobKeys = ["ConnectionString", "ServiceUri", "Container"];

    /// <summary>Names the silos that find each other.</summary>
    public required string ClusterId { get; init; }

    /// <summary>Names what they do together; stays when a new cluster takes over the same state.</summary>
    public required string ServiceId { get; init; }

    /// <summary>Where the membership table is; null for a cluster of this process alone.</summary>
    public ConfigurationOptions? Redis { get; init; }

    /// <summary>Port on which silos speak to each other.</summary>
    public required int SiloPort { get; init; }

    /// <summary>Port for Orleans clients; 0 = none.</summary>
    public required int GatewayPort { get; init; }

    /// <summary>Address under which the other silos reach this one.</summary>
    public required IPAddress AdvertisedAddress { get; init; }

    /// <summary>The account of all state.</summary>
    public required BlobServiceClient Blobs { get; init; }

    /// <summary>The container of this cluster's users and items.</summary>
    public required string Container { get; init; }

    /// <summary>The container of its bundles: apart, so that what is served as a model can be given other rights.</summary>
    public string BundleContainer => $"{Container}-bundles";

    /// <summary>Roles, shards and address.</summary>
    public required ClusterEngineOptions Engine { get; init; }

    /// <summary>Reads and checks the section.</summary>
    /// <exception cref="ConfigurationException">Names the key that is wrong.</exception>
    public static ClusterSettings Read(IConfigurationSection section)
    {
        section.RefuseOthers(KnownKeys);
        var redis = ReadRedis(section);
        var blobs = section.GetSection("Blobs");
        blobs.RefuseOthers(BlobKeys);
        return new ClusterSettings
        {
            ClusterId = section["ClusterId"] ?? DefaultName,
            ServiceId = section["ServiceId"] ?? DefaultName,
            Redis = redis,
            SiloPort = section.Read("SiloPort", absent: 11111, least: 1, most: ushort.MaxValue),
            GatewayPort = section.Read("GatewayPort", absent: 0, least: 0, most: ushort.MaxValue),
            AdvertisedAddress = ReadAdvertised(section, isAlone: redis is null),
            Blobs = ReadBlobs(blobs),
            Container = blobs["Container"] ?? DefaultName,
            Engine = new ClusterEngineOptions
            {
                Roles = ReadRoles(section.GetSection("Roles")),
                ItemShards = section.Read("ItemShards", absent: new ClusterEngineOptions().ItemShards, least: 1, most: ClusterEngineOptions.MostItemShards),
                ContentCacheBytes = (long)section.Read("ContentCacheMiB", absent: (int)(new ClusterEngineOptions().ContentCacheBytes >> 20), least: 1, most: 1 << 20) << 20,
                UserCacheBytes = (long)section.Read("UserCacheMiB", absent: (int)(new ClusterEngineOptions().UserCacheBytes >> 20), least: 1, most: 1 << 20) << 20,
                Address = section.ReadAddress("Address") ?? (redis is null
                    ? null
                    : throw new ConfigurationException($"{section.Path}:Address", "is missing: the base URL under which the gateway reaches this host, such as http://10.0.0.7:8080.")),
            },
        };
    }

    private static ConfigurationOptions? ReadRedis(IConfigurationSection section)
    {
        var isLocalhost = section["Development"] is { Length: > 0 } development
            && (development.Equals(Localhost, StringComparison.OrdinalIgnoreCase)
                ? true
                : throw new ConfigurationException($"{section.Path}:Development", $"is '{development}'; what it can be is {Localhost}: a cluster of this process alone."));
        if (section["Redis"] is not { Length: > 0 } redis)
        {
            return isLocalhost
                ? null
                : throw new ConfigurationException($"{section.Path}:Redis", $"is missing: host and port of the Redis that holds the membership. For a cluster of this process alone, set {section.Path}:Development to {Localhost}.");
        }

        if (isLocalhost)
        {
            throw new ConfigurationException($"{section.Path}:Development", $"is {Localhost}, and there is {section.Path}:Redis too: leave one of them out.");
        }

        try
        {
            var options = ConfigurationOptions.Parse(redis);

            // At a start, a Redis that is not there is an error that says so; later its return is waited for.
            options.AbortOnConnectFail = true;
            return options.EndPoints.Count > 0 ? options : throw new ArgumentException("It names no host.");
        }
        catch (ArgumentException e)
        {
            throw new ConfigurationException($"{section.Path}:Redis", $"cannot be read. {e.Message}");
        }
    }

    private static IPAddress ReadAdvertised(IConfigurationSection section, bool isAlone)
    {
        if (isAlone && section["AdvertisedAddress"] is null)
        {
            return IPAddress.Loopback;
        }

        var given = section.Require("AdvertisedAddress", "the IP address under which the other silos reach this one");
        return IPAddress.TryParse(given, out var address)
            ? address
            : throw new ConfigurationException($"{section.Path}:AdvertisedAddress", $"is '{given}', which is no IP address.");
    }

    private static SiloRole ReadRoles(IConfigurationSection section)
    {
        if (!section.Exists())
        {
            return SiloRole.Entity | SiloRole.Scoring;
        }

        var roles = SiloRole.None;
        foreach (var child in section.GetChildren())
        {
            roles |= child.Value?.ToLowerInvariant() switch
            {
                "entity" => SiloRole.Entity,
                "scoring" => SiloRole.Scoring,
                _ => throw new ConfigurationException(child.Path, $"is '{child.Value}', which is neither entity nor scoring."),
            };
        }

        return roles != SiloRole.None
            ? roles
            : throw new ConfigurationException(section.Path, $"is '{section.Value}', which is no list: set {section.Path}:0 to entity or scoring, and {section.Path}:1 for both.");
    }

    private static BlobServiceClient ReadBlobs(IConfigurationSection section)
    {
        var (connection, service) = (section["ConnectionString"], section.ReadAddress("ServiceUri"));
        if ((connection is null) == (service is null))
        {
            throw new ConfigurationException(section.Path, "needs one of ConnectionString and ServiceUri, the latter for a managed identity: the account that holds all state.");
        }

        try
        {
            return service is null ? new BlobServiceClient(connection) : new BlobServiceClient(service, new DefaultAzureCredential());
        }
        catch (Exception e) when (e is FormatException or ArgumentException)
        {
            throw new ConfigurationException($"{section.Path}:{(service is null ? "ConnectionString" : "ServiceUri")}", $"cannot be read. {e.Message}");
        }
    }
}
