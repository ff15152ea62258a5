using Orleans.Services;

namespace RecBackend.Grains.Membership;

/// <summary>Asks a silo how it is.</summary>
[Alias("RecBackend.ISiloStatus")]
public interface ISiloStatus : IGrainService
{
    /// <summary>How the silo is now.</summary>
    [Alias("Read")]
    Task<SiloReport> ReadAsync();
}

/// <summary>How a silo is.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.SiloReport")]
public sealed record SiloReport
{
    /// <summary>Whether it does what its roles ask.</summary>
    [Id(0)]
    public required bool Ready { get; init; }

    /// <summary>Whether it is about to stop.</summary>
    [Id(1)]
    public required bool Draining { get; init; }

    /// <summary>Version of its active bundle, or null.</summary>
    [Id(2)]
    public string? Model { get; init; }

    /// <summary>Since when that bundle answers there, by its own clock, or null.</summary>
    [Id(7)]
    public DateTimeOffset? ActivatedAt { get; init; }

    /// <summary>Items in its catalogue.</summary>
    [Id(3)]
    public int Items { get; init; }

    /// <summary>The highest item version in its catalogue.</summary>
    [Id(4)]
    public long CatalogVersion { get; init; }

    /// <summary>Bytes of its catalogues.</summary>
    [Id(5)]
    public long CatalogBytes { get; init; }

    /// <summary>Hash of the IDs and versions in its catalogue, or null.</summary>
    [Id(6)]
    public ulong? CatalogDigest { get; init; }

    /// <summary>Items that its catalogues were found to be behind with at their last comparison, and caught up with. Not known to the host.</summary>
    [Id(8)]
    public int Lag { get; init; }

    /// <summary>Shards of the items that it holds. Not known to the host.</summary>
    [Id(9)]
    public int Shards { get; init; }
}

/// <summary>Port: how the silo of this process is, of which only its host knows.</summary>
public interface ISiloSelf
{
    /// <summary>How it is now.</summary>
    SiloReport Read();
}
