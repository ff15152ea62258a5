using System.Globalization;
using RecBackend.Core.Catalog;

namespace RecBackend.Http.Cluster;

/// <summary>The silos that serve together.</summary>
/// <param name="Silos">All of them; one for the embedded engine.</param>
/// <param name="Items">What the catalogues are made of, if it was asked for; absent for the embedded engine, whose catalogue is never behind.</param>
public sealed record ClusterReply(IReadOnlyList<SiloReply> Silos, ItemsReply? Items = null);

/// <summary>The stored items of a cluster. A silo has caught up with them when its <see cref="SiloReply.CatalogDigest"/> is <see cref="Digest"/>.</summary>
/// <param name="Count">How many.</param>
/// <param name="Digest">Hash of their IDs and versions: 16 hexadecimal digits.</param>
public sealed record ItemsReply(long Count, string Digest)
{
    /// <summary>The hash as it is written.</summary>
    public static string Write(CatalogDigest digest) => digest.Hash.ToString("x16", CultureInfo.InvariantCulture);
}

/// <summary>One silo.</summary>
public sealed record SiloReply
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Base URL under which a gateway reaches its HTTP API, <c>http://10.0.0.7:8080</c>; absent if it was not told one.</summary>
    public string? Address { get; init; }

    /// <summary>What it does, of <see cref="SiloRoles"/>.</summary>
    public required IReadOnlyList<string> Roles { get; init; }

    /// <summary>Whether it does what its roles ask: one that scores ranks with a model.</summary>
    public required bool Ready { get; init; }

    /// <summary>Whether it is about to stop: it serves what arrives, and wants no more.</summary>
    public required bool Draining { get; init; }

    /// <summary>Version of its active bundle; absent without one.</summary>
    public string? Model { get; init; }

    /// <summary>Since when that bundle answers there, by the silo's clock; absent without one.</summary>
    public DateTimeOffset? ActivatedAt { get; init; }

    /// <summary>Items in its catalogue.</summary>
    public required int Items { get; init; }

    /// <summary>The highest item version in its catalogue.</summary>
    public required long CatalogVersion { get; init; }

    /// <summary>Hash of the IDs and versions in its catalogue; absent if it has none, or did not answer.</summary>
    public string? CatalogDigest { get; init; }

    /// <summary>Bytes of its catalogues.</summary>
    public required long CatalogBytes { get; init; }

    /// <summary>Items that its catalogue was behind with when it was last compared with the stored ones, and caught up with.</summary>
    public required long Lag { get; init; }

    /// <summary>Shards of the stored items that it holds; the embedded server, whose items are in no shards, has 0. Not required, since a gateway also asks silos of earlier builds, which do not tell.</summary>
    public int Shards { get; init; }
}

/// <summary>What a silo can be for.</summary>
public static class SiloRoles
{
    /// <summary>Holds users and items.</summary>
    public const string Entity = "entity";

    /// <summary>Holds the catalogue and the model, and ranks.</summary>
    public const string Scoring = "scoring";
}

/// <summary>Port: what <c>GET /v1/cluster</c> shows. An engine for a cluster has its own; <see cref="SingleHost"/> is that of one process.</summary>
public interface IClusterView
{
    /// <summary>The silos now.</summary>
    /// <param name="items">Whether to tell of the stored items too, which all their holders are asked for.</param>
    /// <param name="cancellation">Gives up.</param>
    ValueTask<ClusterReply> ReadAsync(bool items, CancellationToken cancellation);
}
