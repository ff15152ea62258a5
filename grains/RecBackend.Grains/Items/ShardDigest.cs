using RecBackend.Core.Catalog;

namespace RecBackend.Grains.Items;

/// <summary>One digest of a shard's items; see <see cref="CatalogDigest"/>.</summary>
/// <param name="Digest">Which of the <see cref="ItemCatalog.DigestShards"/>.</param>
/// <param name="Count">How many items.</param>
/// <param name="Hash">XOR of the hashes of (ID, version).</param>
[GenerateSerializer, Immutable, Alias("RecBackend.ShardDigest")]
public readonly record struct ShardDigest([property: Id(0)] int Digest, [property: Id(1)] int Count, [property: Id(2)] ulong Hash);

/// <summary>The items of one digest of a shard.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ShardVersions")]
public sealed class ShardVersions
{
    /// <summary>Their IDs.</summary>
    [Id(0)]
    public required string[] Ids { get; init; }

    /// <summary>Their versions.</summary>
    [Id(1)]
    public required long[] Versions { get; init; }

    /// <summary>The highest version that the shard had given away when it made this list: an item of the shard that is not in it was deleted at this version or before.</summary>
    [Id(2)]
    public long Version { get; init; }
}
