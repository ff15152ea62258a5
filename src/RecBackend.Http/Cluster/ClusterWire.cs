namespace RecBackend.Http.Cluster;

/// <summary>The silos that serve together.</summary>
/// <param name="Silos">All of them; one for the embedded engine.</param>
public sealed record ClusterReply(IReadOnlyList<SiloReply> Silos);

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

    /// <summary>Items in its catalogue.</summary>
    public required int Items { get; init; }

    /// <summary>The highest item version in its catalogue.</summary>
    public required long CatalogVersion { get; init; }

    /// <summary>Bytes of its catalogues.</summary>
    public required long CatalogBytes { get; init; }

    /// <summary>Item versions that it is behind the newest silo.</summary>
    public required long Lag { get; init; }
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
    ValueTask<ClusterReply> ReadAsync(CancellationToken cancellation);
}
