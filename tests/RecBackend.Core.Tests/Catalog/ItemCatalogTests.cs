using System.Text;
using RecBackend.Core.Catalog;
using RecBackend.Core.Features;
using RecBackend.Core.Items;
using RecBackend.Core.Models;
using RecBackend.Core.Ranking;
using Xunit.Abstractions;

namespace RecBackend.Core.Tests.Catalog;

public class ItemCatalogTests(ITestOutputHelper output)
{
    private const int Vectors = 6;
    private static readonly ModelLayout Layout = FakeModel.LayoutOf("bundle-1");

    public static TheoryData<RowPrecision> Precisions => [RowPrecision.Single, RowPrecision.Half];

    [Theory, MemberData(nameof(Precisions))]
    public void Catalogue_holds_what_a_dictionary_would(RowPrecision precision)
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var catalog = new ItemCatalog(Layout, precision);
        var reference = new Dictionary<string, Reference>();
        for (var step = 0; step < 60_000; step++)
        {
            Apply(RandomWrite(random, ids: 9_000, versions: 12), catalog, reference);
        }

        AssertSame(reference, catalog);
    }

    [Theory, MemberData(nameof(Precisions))]
    public void Order_of_arrival_does_not_matter(RowPrecision precision)
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var writes = new List<Write>();
        for (var item = 0; item < 200; item++)
        {
            for (var version = 1; version <= 20; version++)
            {
                writes.Add(RandomWrite(random, ids: 1, versions: 1) with { Id = $"item {item}", Version = version });
            }
        }

        var inOrder = new ItemCatalog(Layout, precision);
        var shuffled = new ItemCatalog(Layout, precision);
        var reference = new Dictionary<string, Reference>();
        writes.ForEach(write => Apply(write, inOrder, reference));
        random.Shuffle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(writes));
        writes.ForEach(write => Apply(write, shuffled, []));

        AssertSame(reference, inOrder);
        AssertSame(reference, shuffled);
        for (var shard = 0; shard < ItemCatalog.DigestShards; shard++)
        {
            Assert.Equal(inOrder.Digest(shard), shuffled.Digest(shard));
        }
    }

    [Fact]
    public void Digests_tell_apart_catalogues_that_differ_in_one_version()
    {
        var (one, other) = (new ItemCatalog(Layout, RowPrecision.Single), new ItemCatalog(Layout, RowPrecision.Single));
        Put(one, "a", 1);
        Put(other, "a", 2);

        Assert.Single(Enumerable.Range(0, ItemCatalog.DigestShards), shard => one.Digest(shard) != other.Digest(shard));

        Put(one, "a", 2);
        Assert.All(Enumerable.Range(0, ItemCatalog.DigestShards), shard => Assert.Equal(one.Digest(shard), other.Digest(shard)));
    }

    [Fact]
    public void Older_version_is_ignored()
    {
        var catalog = new ItemCatalog(Layout, RowPrecision.Single);
        Assert.True(Put(catalog, "a", 5, value: 5));
        Assert.False(Put(catalog, "a", 4, value: 4));
        Assert.False(Put(catalog, "a", 5, value: 6));
        Assert.False(catalog.UpdateCounters("a"u8, 5, new(9, 9, 9)));
        Assert.False(catalog.Delete("a"u8, 5));
        Assert.Equal(5, VectorsOf(catalog, "a")![0]);
        Assert.Equal(5, catalog.Version);
    }

    [Fact]
    public void Deleted_item_comes_back_only_with_a_newer_version()
    {
        var catalog = new ItemCatalog(Layout, RowPrecision.Single);
        Put(catalog, "a", 5);
        Assert.True(catalog.Delete("a"u8, 7));
        Assert.False(catalog.Contains("a"u8));
        Assert.False(Put(catalog, "a", 6));
        Assert.False(catalog.Contains("a"u8));
        Assert.True(Put(catalog, "a", 8, value: 8));
        Assert.Equal(8, VectorsOf(catalog, "a")![0]);
        Assert.Equal(1, catalog.Count);
    }

    [Fact]
    public void Counters_may_come_before_their_row()
    {
        var catalog = new ItemCatalog(Layout, RowPrecision.Single);
        catalog.UpdateCounters("a"u8, 7, new(70, 7, 0));
        Assert.False(catalog.Contains("a"u8));

        Put(catalog, "a", 6, counters: new(60, 6, 0));

        var rows = Gather(catalog, "a");
        Assert.Equal(new ItemCounters(70, 7, 0), rows.Counters[0]);
        Assert.Equal((float)Math.Log(71), rows.Statistics(0)[0]);
    }

    [Fact]
    public void Row_of_a_deleted_item_is_used_again()
    {
        var catalog = new ItemCatalog(Layout, RowPrecision.Single);
        for (var i = 0; i < 4096; i++)
        {
            Put(catalog, $"item {i}", 1);
        }

        var before = catalog.MemoryUsage;
        for (var i = 0; i < 4096; i++)
        {
            catalog.Delete(Encoding.UTF8.GetBytes($"item {i}"), 2);
            Put(catalog, $"item {4096 + i}", 1, value: i % 100);
        }

        Assert.Equal(before.RowBytes, catalog.MemoryUsage.RowBytes);
        Assert.Equal(4096, catalog.MemoryUsage.Tombstones);
        Assert.Equal(77, VectorsOf(catalog, "item 4173")![0]);
        Assert.Null(VectorsOf(catalog, "item 77"));
    }

    [Fact]
    public void Repeated_candidate_is_gathered_once_at_its_first_place()
    {
        var catalog = new ItemCatalog(Layout, RowPrecision.Single);
        Put(catalog, "a", 1, value: 1);
        Put(catalog, "b", 1, value: 2);

        var rows = Gather(catalog, "b", "nobody", "a", "b", "nobody", "a", "else");

        Assert.Equal([0, 2], rows.Places.ToArray());
        Assert.Equal([1, 6], rows.Unknown.ToArray());
        Assert.Equal(2, rows.Rows[0]);
        Assert.Equal(1, rows.Rows[Layout.Row]);
    }

    [Fact]
    public void Age_is_that_at_the_request()
    {
        const long Day = 86_400_000;
        var catalog = new ItemCatalog(Layout, RowPrecision.Single);
        Put(catalog, "a", 1, counters: new(1, 0, FirstSeen: 10 * Day));
        Put(catalog, "never", 1);

        Assert.Equal((float)Math.Log(1 + 3), Gather(catalog, 14 * Day - 1, "a").Statistics(0)[2]);
        Assert.Equal((float)Math.Log(1 + 4), Gather(catalog, 14 * Day, "a").Statistics(0)[2]);
        Assert.Equal((float)Math.Log(1 + 20_000), Gather(catalog, 20_010 * Day, "a").Statistics(0)[2]);
        Assert.Equal(0, Gather(catalog, 9 * Day, "a").Statistics(0)[2]);
        Assert.Equal(0, Gather(catalog, 14 * Day, "never").Statistics(0)[2]);
    }

    [Fact]
    public void Outlier_stays_finite_in_16_bits()
    {
        var catalog = new ItemCatalog(Layout, RowPrecision.Half);
        catalog.Put("a"u8, 1, [1e9f, -1e9f, 1, 2, 3, 4], cold: false, ItemCounters.None);
        Assert.Equal([65504, -65504, 1, 2, 3, 4], VectorsOf(catalog, "a")!);
    }

    [Theory, MemberData(nameof(Precisions))]
    public void Wide_rows_survive_in_either_precision(RowPrecision precision)
    {
        var layout = Layout with { ItemId = 33, Representation = 164 };
        var catalog = new ItemCatalog(layout, precision);
        var vectors = Enumerable.Range(0, 197).Select(i => i / 4f).ToArray();
        catalog.Put("a"u8, 1, vectors, cold: false, new(3, 2, 1));

        var read = new float[197];
        Assert.True(catalog.TryGetRow("a"u8, read));
        Assert.Equal(vectors, read);
        Assert.Equal((float)Math.Log(4), Gather(catalog, "a").Statistics(0)[0]);
    }

    [Fact]
    public void Ids_of_all_lengths_are_told_apart()
    {
        var catalog = new ItemCatalog(Layout, RowPrecision.Single);
        for (var length = 1; length <= EntityId.MaxBytes; length++)
        {
            Put(catalog, new string('x', length), 1, value: length);
        }

        for (var length = 1; length <= EntityId.MaxBytes; length++)
        {
            Assert.Equal(length, VectorsOf(catalog, new string('x', length))![0]);
        }

        Assert.Throws<ArgumentException>(() => Put(catalog, "", 1));
        Assert.Throws<ArgumentException>(() => Put(catalog, new string('x', EntityId.MaxBytes + 1), 1));
    }

    [Theory, MemberData(nameof(Precisions))]
    public void Gathering_allocates_nothing_once_its_buffers_have_grown(RowPrecision precision)
    {
        var catalog = new ItemCatalog(Layout, precision);
        var candidates = new CandidateList();
        for (var i = 0; i < 500; i++)
        {
            Put(catalog, $"item {i}", 1);
            candidates.Add(Encoding.UTF8.GetBytes($"item {i}"));
        }

        var rows = new CandidateRows();
        catalog.Gather(candidates, 0, rows);
        var before = GC.GetAllocatedBytesForCurrentThread();
        catalog.Gather(candidates, 0, rows);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(500, rows.Count);
    }

    internal static bool Put(ItemCatalog catalog, string id, long version, float value = 0, ItemCounters? counters = null)
    {
        var vectors = new float[catalog.VectorWidth];
        vectors.AsSpan().Fill(value);
        return catalog.Put(Encoding.UTF8.GetBytes(id), version, vectors, cold: false, counters ?? ItemCounters.None);
    }

    private static float[]? VectorsOf(ItemCatalog catalog, string id)
    {
        var vectors = new float[catalog.VectorWidth];
        return catalog.TryGetRow(Encoding.UTF8.GetBytes(id), vectors) ? vectors : null;
    }

    private static CandidateRows Gather(ItemCatalog catalog, params string[] ids) => Gather(catalog, 0, ids);

    private static CandidateRows Gather(ItemCatalog catalog, long time, params string[] ids)
    {
        var candidates = new CandidateList();
        Array.ForEach(ids, id => candidates.Add(Encoding.UTF8.GetBytes(id)));
        var rows = new CandidateRows();
        catalog.Gather(candidates, time, rows);
        return rows;
    }

    private static Write RandomWrite(Random random, int ids, int versions) => new(
        $"item {random.Next(ids)}",
        random.Next(1, versions + 1),
        random.Next(10) switch { < 5 => Kind.Put, < 8 => Kind.Count, _ => Kind.Delete },
        random.Next(2048),
        random.Next(2) == 0,
        new(random.Next(1000), random.Next(1000), random.Next(1000)));

    private static void Apply(Write write, ItemCatalog catalog, Dictionary<string, Reference> reference)
    {
        var id = Encoding.UTF8.GetBytes(write.Id);
        if (!reference.TryGetValue(write.Id, out var known))
        {
            reference[write.Id] = known = new Reference();
        }

        switch (write.Kind)
        {
            case Kind.Put:
                Put(write, catalog, id);
                break;
            case Kind.Count:
                catalog.UpdateCounters(id, write.Version, write.Counters);
                break;
            default:
                catalog.Delete(id, write.Version);
                break;
        }

        known.Apply(write);
    }

    private static void Put(Write write, ItemCatalog catalog, byte[] id)
    {
        Span<float> vectors = stackalloc float[Vectors];
        vectors.Fill(write.Value);
        catalog.Put(id, write.Version, vectors, write.Cold, write.Counters);
    }

    private static void AssertSame(Dictionary<string, Reference> reference, ItemCatalog catalog)
    {
        string[] ids = [.. reference.Keys];
        var rows = Gather(catalog, time: 0, ids);
        var place = 0;
        for (var i = 0; i < ids.Length; i++)
        {
            var expected = reference[ids[i]];
            if (!expected.Present)
            {
                Assert.Null(VectorsOf(catalog, ids[i]));
                continue;
            }

            Assert.Equal(i, rows.Places[place]);
            Assert.Equal(Enumerable.Repeat((float)expected.Value, Vectors), VectorsOf(catalog, ids[i])!);
            Assert.Equal(Enumerable.Repeat((float)expected.Value, Vectors), rows.Rows.AsSpan(place * Layout.Row, Vectors).ToArray());
            Assert.Equal(expected.Cold, rows.Cold[place]);
            Assert.Equal(expected.Counters, rows.Counters[place]);
            Assert.Equal((float)Math.Log(1.0 + expected.Counters.Impressions), rows.Statistics(place)[0]);
            Assert.Equal(
                (float)StatisticFeatures.ClickRate(expected.Counters.Clicks, expected.Counters.Impressions, 0.5, 10), rows.Statistics(place)[1]);
            place++;
        }

        Assert.Equal(place, rows.Count);
        Assert.Equal(place, catalog.Count);
        Assert.Equal(ids.Length - place, rows.Unknown.Length);
    }

    private enum Kind
    {
        Put,
        Count,
        Delete,
    }

    private sealed record Write(string Id, long Version, Kind Kind, int Value, bool Cold, ItemCounters Counters);

    /// <summary>Of a row (or its deletion) and of counters, the newest of each.</summary>
    private sealed class Reference
    {
        private long _rowVersion = long.MinValue;
        private long _countersVersion = long.MinValue;

        public bool Present { get; private set; }

        public int Value { get; private set; }

        public bool Cold { get; private set; }

        public ItemCounters Counters { get; private set; } = ItemCounters.None;

        public void Apply(Write write)
        {
            if (write.Kind != Kind.Count && write.Version > _rowVersion)
            {
                (_rowVersion, Present, Value, Cold) = (write.Version, write.Kind == Kind.Put, write.Value, write.Cold);
            }

            if (write.Version > _countersVersion)
            {
                (_countersVersion, Counters) = (write.Version, write.Kind == Kind.Delete ? ItemCounters.None : write.Counters);
            }
        }
    }
}
