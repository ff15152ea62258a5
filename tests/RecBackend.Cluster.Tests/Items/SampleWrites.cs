using RecBackend.Core.Items;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Items;

namespace RecBackend.Cluster.Tests.Items;

/// <summary>The same writes whenever they are made: of every kind, over a merge and a log after it.</summary>
internal static class SampleWrites
{
    public static readonly Guid Incarnation = new("00112233-4455-6677-8899-aabbccddeeff");

    /// <summary>A part of a batch that was counted alone, and closed its incarnation.</summary>
    public static readonly UserOfBatch Alone = new(new(new("10112233-4455-6677-8899-aabbccddeeff"), 3), "u1", 7);

    public const int Count = 150;

    public static async Task WriteAsync(ItemShard shard)
    {
        for (var i = 0; i < Count; i++)
        {
            var id = $"i{i * 7 % 30}";
            switch (i % 6)
            {
                case 0 or 1 or 2:
                    await shard.UpsertAsync([Upsert(id, i), Upsert($"kept-{i}", i)]);
                    break;
                case 3:
                    await shard.SetRepresentationsAsync([new(id, new("b2", [i, 2], RepresentationSource.External), null)]);
                    break;
                case 4:
                    await shard.CountAsync(new(Incarnation, i), [new(id, 1, 2, 1_000 + i), new("kept-0", 1, 0, 1_000 + i)], [$"left-{i}"]);
                    break;
                default:
                    await shard.DeleteAsync([id]);
                    break;
            }

            if (i is 70 or 140)
            {
                await shard.CountAloneAsync(Alone with { UserVersion = i }, [new("kept-1", 0, 1, 5)]);
                await shard.TrimAsync(["b1", $"b{i}"]);
            }
        }
    }

    private static ItemUpsert Upsert(string id, int i) => new(
        id,
        new ItemContent { Title = $"Title {i}", Text = "text", Categories = ["Drama"], Attributes = new Dictionary<string, string> { ["year"] = "1999" } },
        new("b1", [i, 1], RepresentationSource.Computed));
}
