using System.Globalization;
using RecBackend.Cli.Up;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Cluster.Tests.Silo;

/// <summary>Silos as processes of their own.</summary>
internal static class SiloProcess
{
    /// <summary>Starts a silo.</summary>
    /// <param name="backing">Redis and blobs.</param>
    /// <param name="cluster">Names the cluster and its container.</param>
    /// <param name="state">Folder for its bundles.</param>
    /// <param name="roles">What it is for.</param>
    public static ChildProcess Start(Backing backing, string cluster, string state, params string[] roles) => ChildProcess.Start(Checkout.Silo, address =>
    [
        "--RecBackend:State", state,
        "--RecBackend:Development", "true",
        "--RecBackend:Cluster:ClusterId", cluster,
        "--RecBackend:Cluster:Redis", backing.Redis,
        "--RecBackend:Cluster:SiloPort", string.Create(CultureInfo.InvariantCulture, $"{Loopback.FreePort()}"),
        "--RecBackend:Cluster:AdvertisedAddress", "127.0.0.1",
        "--RecBackend:Cluster:Address", address.ToString(),
        "--RecBackend:Cluster:ItemShards", "4",
        "--RecBackend:Cluster:Blobs:ConnectionString", backing.BlobsConnection,
        "--RecBackend:Cluster:Blobs:Container", cluster,
        .. roles.SelectMany((role, place) => new[] { string.Create(CultureInfo.InvariantCulture, $"--RecBackend:Cluster:Roles:{place}"), role }),
    ]);
}
