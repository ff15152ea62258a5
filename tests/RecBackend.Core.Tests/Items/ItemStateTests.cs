using RecBackend.Core.Items;
using RecBackend.Core.Users;

namespace RecBackend.Core.Tests.Items;

public class ItemStateTests
{
    [Fact]
    public void New_content_replaces_computed_representations_and_keeps_external_ones_and_counters()
    {
        var item = ItemState.Upsert(null, Upsert("old", Computed("b1", 1)), 1)
            .WithRepresentation(new("i", External("b2", 2), null), 2)!
            .WithRepresentation(new("i", Computed("b3", 3), null), 3)!
            .WithEvent(InteractionEvent.Click, 50, 4);

        var after = ItemState.Upsert(item, Upsert("new", Computed("b1", 9)), 5);

        Assert.Equal("new", after.Record.Content.Title);
        Assert.Equal([9f], after.Record.RepresentationFor("b1")!.Values);
        Assert.Equal([2f], after.Record.RepresentationFor("b2")!.Values);
        Assert.Null(after.Record.RepresentationFor("b3"));
        Assert.Equal(new ItemCounters(0, 1, 50), after.Record.Counters);
        Assert.Equal((5, 5), (after.Record.Version, after.ContentVersion));
    }

    [Fact]
    public void Computed_representation_never_replaces_an_external_one_of_the_same_bundle_on_upsert()
    {
        var item = ItemState.Upsert(null, Upsert("old", null), 1).WithRepresentation(new("i", External("b1", 7), null), 2);
        var after = ItemState.Upsert(item, Upsert("new", Computed("b1", 1)), 3);
        Assert.Equal(RepresentationSource.External, Assert.Single(after.Record.Representations).Source);
    }

    [Fact]
    public void Computed_representation_that_comes_late_never_replaces_an_external_one_of_the_same_bundle()
    {
        var read = ItemState.Upsert(null, Upsert("x", null), 1);
        var given = read.WithRepresentation(new("i", External("b1", 7), null), 2)!;

        Assert.Null(given.WithRepresentation(new("i", Computed("b1", 1), IfVersion: read.Record.Version), 3));
        Assert.Null(given.WithRepresentation(new("i", Computed("b1", 1), IfVersion: null), 3));
        Assert.NotNull(given.WithRepresentation(new("i", Computed("b2", 1), IfVersion: read.Record.Version), 3));
        Assert.Equal([8f], given.WithRepresentation(new("i", External("b1", 8), null), 3)!.Record.RepresentationFor("b1")!.Values);
    }

    [Fact]
    public void Representation_of_an_older_content_is_refused_but_events_do_not_count_as_content()
    {
        var read = ItemState.Upsert(null, Upsert("old", null), 1);
        var counted = read.WithEvent(InteractionEvent.Impression, 1, 2);
        var rewritten = ItemState.Upsert(counted, Upsert("new", null), 3);
        var update = new RepresentationUpdate("i", Computed("b1", 1), IfVersion: read.Record.Version);

        Assert.NotNull(counted.WithRepresentation(update, 3));
        Assert.Null(rewritten.WithRepresentation(update, 4));
    }

    [Fact]
    public void First_seen_is_the_earliest_event_even_if_it_comes_late()
    {
        var item = ItemState.Upsert(null, Upsert("x", null), 1)
            .WithEvent(InteractionEvent.Impression, 100, 2).WithEvent(InteractionEvent.Click, 40, 3).WithEvent("purchase", 70, 4);
        Assert.Equal(new ItemCounters(1, 2, 40), item.Record.Counters);
    }

    [Fact]
    public void Trim_keeps_the_representations_of_kept_bundles_and_the_version()
    {
        var item = ItemState.Upsert(null, Upsert("x", Computed("b1", 1)), 1).WithRepresentation(new("i", External("b2", 2), null), 2)!;
        var trimmed = item.Trim(["b2", "b3"]);
        Assert.Equal("b2", Assert.Single(trimmed.Record.Representations).Bundle);
        Assert.Equal(2, trimmed.Record.Version);
        Assert.Same(trimmed, trimmed.Trim(["b2"]));
    }

    private static ItemUpsert Upsert(string title, Representation? representation) => new("i", new ItemContent { Title = title }, representation);

    private static Representation Computed(string bundle, float value) => new(bundle, [value], RepresentationSource.Computed);

    private static Representation External(string bundle, float value) => new(bundle, [value], RepresentationSource.External);
}
