using RecBackend.Core.Users;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Items;
using RecBackend.Grains.Storage;
using RecBackend.Grains.Users;

namespace RecBackend.Cluster.Tests.Storage;

/// <summary>States as versions 0.1 and 0.2, which added the index of shards, wrote them, byte for byte: what is stored outlives the program that stored it.</summary>
public sealed class StoredStateTests
{
    private static readonly MessagePackStateSerializer Serializer = new();

    [Fact]
    public void User_of_version_0_1_is_read()
    {
        var user = Read<UserGrainState>("user-0.1.bin", Sample.User);
        Assert.Equal((Sample.User.Life, 7L, 3L, 2L), (user.Life, user.Version, user.Impressions, user.Clicks));
        Assert.Equal("f", user.Attributes["gender"]);
        Assert.Equal([new("i2", "click", 20), new("i1", "click", 10)], user.History);
        Assert.Equal([new("e1", 100), new("e2", 200)], user.Arrivals);
        Assert.Equal(Sample.User.Pending, user.Pending);
    }

    [Fact]
    public void Segment_of_version_0_1_is_read()
    {
        var segment = Read<ItemSegment>("segment-0.1.bin", Sample.Segment);
        Assert.Equal(12, segment.Version);
        var (written, counted, deleted) = (segment.Entries[0], segment.Entries[1], segment.Entries[2]);
        Assert.Equal(("i1", 10L, "Title 映画", "text"), (written.Id, written.Version, written.Content!.Title, written.Content.Text));
        Assert.Equal(["Drama"], written.Content.Categories);
        Assert.Equal(["tag"], written.Content.Tags);
        Assert.Equal("1999", written.Content.Attributes["year"]);
        Assert.Equal([1, 2, 3], written.Content.Image!);
        Assert.Equal([0.5f], written.Content.ImageFeatures!);
        Assert.Equal(("b1", true), (written.Representations![0].Bundle, written.Representations[0].External));
        Assert.Equal([1.5f, -2], written.Representations[0].Values);
        Assert.Equal(new CountersState(4, 5, 6), counted.Counters);
        Assert.True(deleted.Deleted);
        AssertLedger(segment.Header!.Ledger);
        Assert.Equal(["b1", "b2"], Assert.Single(segment.Header.Trims).Keep);
    }

    [Fact]
    public void User_of_before_its_writes_were_told_apart_is_read()
    {
        var user = Read<UserGrainState>("user-0.0.bin", Sample.User);
        Assert.Equal(Sample.User.History, user.History);
        Assert.Equal([Sample.User.Pending[0] with { UserVersion = 0 }], user.Pending);
    }

    [Fact]
    public void Segment_of_before_the_writes_of_users_were_told_apart_is_read()
    {
        var segment = Read<ItemSegment>("segment-0.0.bin", Sample.Segment);
        Assert.Equal((12, 3), (segment.Version, segment.Entries.Length));
        Assert.Equal(CountDecision.Refuse, segment.Header!.Ledger.Decide(new(Sample.Incarnation, 4)));
    }

    [Fact]
    public void Ledger_names_no_user_also_if_it_was_stored_by_a_version_that_did()
    {
        var ledger = Read<ItemSegment>("segment-0.1.bin", Sample.Segment).Header!.Ledger;
        Assert.Contains("u2", File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Storage", "segment-0.1.bin")), StringComparison.Ordinal);
        Assert.All(ledger.LeftOut.Concat(ledger.Alone), key => Assert.DoesNotContain(key.Split('/'), part => part is "u" or "u2"));
        AssertLedger(Serializer.Deserialize<CountLedger>(Serializer.Serialize(ledger))!);
    }

    [Fact]
    public void Manifest_of_version_0_1_is_read()
    {
        var manifest = Read<ItemShardManifest>("manifest-0.1.bin", Sample.Manifest);
        Assert.Equal((32, 5L, 3L), (manifest.Shards, manifest.Tail, manifest.NextMerged));
        Assert.Equal([-1L, -2L], manifest.Merged);
        Assert.Equal([new(4, 1_000)], manifest.Retired);
    }

    [Fact]
    public void Segment_of_version_0_2_is_read()
    {
        var segment = Read<ItemSegment>("segment-0.2.bin", Sample.AddingSegment);
        Assert.Null(segment.Header);
        Assert.Equal((12L, "i2"), (segment.Version, Assert.Single(segment.Entries).Id));
        AssertLedger(segment.Counted!);
        Assert.Equal(["b1", "b2"], Assert.Single(segment.Trims!).Keep);
    }

    [Fact]
    public void Page_of_version_0_2_is_read()
    {
        var page = Read<IndexPage>("page-0.2.bin", Sample.Page);
        Assert.Equal(Sample.Page.Entries, page.Entries);
        Assert.Equal(20, page.Version);
        AssertLedger(page.Header!.Ledger);
        Assert.Equal(500, page.Header.Ledger.ForgottenBefore);
    }

    [Fact]
    public void Manifest_of_version_0_2_is_read()
    {
        var manifest = Read<ItemShardManifest>("manifest-0.2.bin", Sample.IndexedManifest);
        Assert.Equal((32, 69L, 12L, 40_000L), (manifest.Shards, manifest.Tail, manifest.NextMerged, manifest.IndexEntries));
        Assert.Empty(manifest.Merged);
        Assert.Equal([new(-3, 100, 70_000)], manifest.Segments);
        Assert.Equal([-4L, -11L], manifest.Index);
        Assert.Equal([new(5, 1_000, 63), new(-1, 1_000)], manifest.Retired);
    }

    [Fact]
    public void State_of_a_later_version_with_more_parts_is_read()
    {
        // MessagePack arrays: what this version does not know comes last.
        var bytes = MessagePack.MessagePackSerializer.Serialize(new object?[] { 8, new long[] { -1 }, 2L, 1L, Array.Empty<object>(), Array.Empty<object>(), Array.Empty<long>(), 0L, "a part of the future" });
        Assert.Equal(8, Serializer.Deserialize<ItemShardManifest>(new(bytes))!.Shards);
    }

    [Theory]
    [InlineData("plain-ID_1", "plain-ID_1")]
    [InlineData("a/../b", "a=2F=2E=2E=2Fb")]
    [InlineData("x=2F", "x=3D2F")]
    [InlineData("é", "=C3=A9")]
    public void Key_of_an_id_is_safe_in_a_blobs_name_and_gives_the_id_back(string id, string key)
    {
        Assert.Equal(key, EntityKey.Of(id));
        Assert.Equal(id, EntityKey.Id(key));
    }

    private static void AssertLedger(CountLedger ledger)
    {
        Assert.Equal(CountDecision.Known, ledger.Decide(new(Sample.Incarnation, 3)));
        Assert.Equal(CountDecision.Refuse, ledger.Decide(new(Sample.Incarnation, 4)));
        Assert.Equal(CountDecision.Count, ledger.DecideAlone(new(new(Sample.Incarnation, 3), "u2", 1)));
        Assert.Equal(CountDecision.Known, ledger.DecideAlone(new(new(Sample.Incarnation, 9), "u", 7)));
    }

    private static T Read<T>(string name, T sample)
    {
        var path = Path.Combine(AppContext.BaseDirectory, "Storage", name);
        Assert.True(File.Exists(path), $"{name} is missing. The state of a new version is: {Convert.ToBase64String(Serializer.Serialize(sample).ToArray())}");
        return Serializer.Deserialize<T>(new(File.ReadAllBytes(path)))!;
    }

    private static class Sample
    {
        public static readonly Guid Incarnation = new("00112233-4455-6677-8899-aabbccddeeff");

        public static readonly UserGrainState User = new()
        {
            Life = Incarnation,
            Version = 7,
            Attributes = new() { ["gender"] = "f" },
            Impressions = 3,
            Clicks = 2,
            History = [new("i2", InteractionEvent.Click, 20), new("i1", InteractionEvent.Click, 10)],
            Arrivals = [new("e1", 100), new("e2", 200)],
            Pending = [new(new(Incarnation, 4), new("i2", 1, 1, 20), 7)],
        };

        public static readonly ItemSegment Segment = new()
        {
            Entries =
            [
                new()
                {
                    Id = "i1",
                    Version = 10,
                    Content = new()
                    {
                        Title = "Title 映画", Text = "text", Categories = ["Drama"], Tags = ["tag"], Attributes = new() { ["year"] = "1999" }, Image = [1, 2, 3], ImageFeatures = [0.5f],
                    },
                    Representations = [new() { Bundle = "b1", Values = [1.5f, -2], External = true }],
                    Counters = new(0, 0, long.MinValue),
                },
                new() { Id = "i2", Version = 11, Counters = new(4, 5, 6) },
                new() { Id = "i3", Version = 12, Deleted = true },
            ],
            Header = Header(),
            Version = 12,
        };

        public static readonly ItemShardManifest Manifest = new() { Shards = 32, Merged = [-1, -2], Tail = 5, NextMerged = 3, Retired = [new(4, 1_000)] };

        public static readonly ItemSegment AddingSegment = new()
        {
            Entries = [new() { Id = "i2", Version = 11, Counters = new(4, 5, 6) }],
            Counted = Header().Ledger,
            Trims = Header().Trims,
            Version = 12,
        };

        public static readonly IndexPage Page = new()
        {
            Entries = [new("i1", 10, 8, new(-3, 7), 9, new(-2, 1), true, 10, new(4, 5, 6)), new("gone", 20, 0, default, 0, default, false, 0, default)],
            Header = Header(forgottenBefore: 500),
            Version = 20,
        };

        public static readonly ItemShardManifest IndexedManifest = new()
        {
            Shards = 32,
            Tail = 69,
            NextMerged = 12,
            Segments = [new(-3, 100, 70_000)],
            Index = [-4, -11],
            IndexEntries = 40_000,
            Retired = [new(5, 1_000, 63), new(-1, 1_000)],
        };

        private static ShardHeader Header(long forgottenBefore = 0)
        {
            var header = new ShardHeader { Trims = [new(2, ["b1", "b2"])] };
            header.Ledger.ForgottenBefore = forgottenBefore;
            header.Ledger.Note(new(Incarnation, 3), ["u2"]);
            header.Ledger.NoteAlone(new(new(Incarnation, 9), "u", 7));
            return header;
        }
    }
}
