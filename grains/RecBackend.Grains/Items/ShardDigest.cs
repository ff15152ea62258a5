using RecBackend.Core.Catalog;

namespace RecBackend.Grains.Items;

/// <summary>One digest of a shard's items; see <see cref="CatalogDigest"/>.</summary>
/// <param name="Digest">Which of the <see cref="ItemCatalog.DigestShards"/>.</param>
/// <param name="Count">How many items.</param>
/// <param name="Hash">XOR of the hashes of (ID, versions).</param>
[GenerateSerializer, Immutable, Alias("RecBackend.ShardDigest")]
public readonly record struct ShardDigest([property: Id(0)] int Digest, [property: Id(1)] int Count, [property: Id(2)] ulong Hash);

/// <summary>Where a shard stands.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ShardState")]
public sealed class ShardState
{
    /// <summary>The digests that are not empty.</summary>
    [Id(0)]
    public required ShardDigest[] Digests { get; init; }

    /// <summary>Items that were written or counted after the version that was asked for.</summary>
    [Id(1)]
    public required ShardVersions Changed { get; init; }

    /// <summary>Items that were deleted after it and are not back.</summary>
    [Id(2)]
    public required string[] Deleted { get; init; }
}

/// <summary>Items of a shard with their versions.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ShardVersions")]
public sealed class ShardVersions
{
    /// <summary>Their IDs.</summary>
    [Id(0)]
    public required string[] Ids { get; init; }

    /// <summary>See <see cref="ItemVersions.Item"/>.</summary>
    [Id(1)]
    public required long[] Versions { get; init; }

    /// <summary>The highest version that the shard had given away when it made this list: of a list of all items, one of the shard that is not in it was deleted at this version or before.</summary>
    [Id(2)]
    public long Version { get; init; }

    /// <summary>See <see cref="ItemVersions.Row"/>.</summary>
    [Id(3)]
    public required long[] RowVersions { get; init; }

    internal IEnumerable<KeyValuePair<string, ItemVersions>> Items => Ids.Select((id, place) => KeyValuePair.Create(id, new ItemVersions(Versions[place], RowVersions[place])));

    internal static ShardVersions Of(IEnumerable<KeyValuePair<string, ItemVersions>> items, long version)
    {
        KeyValuePair<string, ItemVersions>[] list = [.. items];
        return new()
        {
            Ids = Array.ConvertAll(list, item => item.Key),
            Versions = Array.ConvertAll(list, item => item.Value.Item),
            RowVersions = Array.ConvertAll(list, item => item.Value.Row),
            Version = version,
        };
    }
}
