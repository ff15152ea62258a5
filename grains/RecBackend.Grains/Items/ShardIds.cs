using System.Text;
using RecBackend.Core;
using RecBackend.Core.Catalog;

namespace RecBackend.Grains.Items;

/// <summary>IDs of items of a shard.</summary>
[GenerateSerializer, Immutable, Alias("RecBackend.ShardIds")]
public sealed class ShardIds
{
    /// <summary>Parts of the hash space: of a shard of a hundred million items each fits into a message.</summary>
    private const int Parts = 1024;

    /// <summary>The IDs.</summary>
    [Id(0)]
    public required string[] Ids { get; init; }

    /// <summary>Where the items rank: those that are near each other here are near each other in storage.</summary>
    [Id(1)]
    public required long[] Ranks { get; init; }

    /// <summary>The part to go on with; null if there are no more.</summary>
    [Id(2)]
    public int? Next { get; init; }

    /// <summary>The items of as many parts as fit into a message.</summary>
    internal static ShardIds Of(IReadOnlyDictionary<string, IndexedItem> items, int from)
    {
        var parts = items.ToLookup(item => PartOf(item.Key));
        var (ids, ranks, bytes) = (new List<string>(), new List<long>(), 0L);
        for (; from < Parts && bytes < MessageSize.Most; from++)
        {
            foreach (var (id, item) in parts[from])
            {
                ids.Add(id);
                ranks.Add(item.ContentVersion);
                bytes += MessageSize.Of(id);
            }
        }

        return new() { Ids = [.. ids], Ranks = [.. ranks], Next = from < Parts ? from : null };
    }

    // Not by the remainder, which decides on the shard.
    private static int PartOf(string id)
    {
        Span<byte> utf8 = stackalloc byte[EntityId.MaxBytes];
        return (int)(IdHash.Stable(utf8[..Encoding.UTF8.GetBytes(id, utf8)]) >> 54);
    }
}
