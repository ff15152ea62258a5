using RecBackend.Core.Items;

namespace RecBackend.Engine.Contract;

/// <summary>What items can rely on.</summary>
public abstract class ItemContract : EngineContract
{
    [Fact]
    public async Task Unknown_item_is_null()
    {
        Assert.Null(await Items.GetAsync("nope", default));
        Assert.Equal(0, await Items.CountAsync(default));
        Assert.Equal([false], await Items.DeleteAsync(["nope"], default));
        Assert.Equal([false], await Items.SetRepresentationsAsync([new("nope", Computed("b", 1), null)], default));
    }

    [Fact]
    public async Task Content_comes_back_as_it_was_given()
    {
        var content = new ItemContent
        {
            Title = "Amélie 🎬",
            Text = "\"quoted\"\n\u0001 <b> 映画 \\",
            Categories = ["Comedy", "Romance"],
            Tags = ["", "a,b"],
            Attributes = new Dictionary<string, string> { ["year"] = "2001", [""] = "empty name" },
            Image = [0xFF, 0xD8, 0, 1],
            ImageFeatures = [0.5f, float.MinValue, -0f],
        };
        await Items.UpsertAsync([new("i1", content, null), new("i2", new ItemContent(), null), new("i3", new ItemContent { Title = "", Image = [] }, Computed(""))], default);

        await AssertStored();
        await ReopenAsync();
        await AssertStored();

        async Task AssertStored()
        {
            var stored = (await ItemAsync("i1")).Content;
            Assert.Equal(content.Title, stored.Title);
            Assert.Equal(content.Text, stored.Text);
            Assert.Equal(content.Categories, stored.Categories);
            Assert.Equal(content.Tags, stored.Tags);
            Assert.Equal(content.Attributes, stored.Attributes);
            Assert.Equal(content.Image, stored.Image);
            Assert.Equal(content.ImageFeatures, stored.ImageFeatures);

            var empty = (await ItemAsync("i2")).Content;
            Assert.Null(empty.Title);
            Assert.Null(empty.Text);
            Assert.Empty(empty.Categories);
            Assert.Empty(empty.Attributes);
            Assert.Null(empty.Image);
            Assert.Null(empty.ImageFeatures);
            Assert.Equal(("", 0), ((await ItemAsync("i3")).Content.Title, (await ItemAsync("i3")).Content.Image?.Length));
            AssertVector(await ItemAsync("i3"), "");
        }
    }

    [Fact]
    public async Task Versions_only_go_up_also_across_delete_and_restart()
    {
        var last = 0L;
        void Higher(long version)
        {
            Assert.True(version > last, $"{version} after {last}");
            last = version;
        }

        Higher(await PutAsync("i1"));
        Higher(await PutAsync("i1"));
        await AppendAsync(Click("e", "u", "i1"));
        Higher((await ItemAsync("i1")).Version);
        await Items.SetRepresentationsAsync([new("i1", Computed("b", 1), null)], default);
        Higher((await ItemAsync("i1")).Version);
        await Items.DeleteAsync(["i1"], default);
        await ReopenAsync();
        Higher(await PutAsync("i1"));
        await Items.DeleteAsync(["i1"], default);
        await CrashAsync();
        Higher(await PutAsync("i1"));
        Assert.Equal(last, (await ItemAsync("i1")).Version);
    }

    [Fact]
    public async Task Same_item_twice_in_a_call_leaves_the_later()
    {
        var versions = await Items.UpsertAsync([new("i1", Content("first"), null), new("i1", Content("second"), null)], default);

        Assert.True(versions[1] > versions[0]);
        Assert.Equal("second", (await ItemAsync("i1")).Content.Title);
        Assert.Equal(versions[1], (await ItemAsync("i1")).Version);
        Assert.Equal(1, await Items.CountAsync(default));
    }

    [Fact]
    public async Task New_content_replaces_computed_representations_and_leaves_external_ones_and_counters()
    {
        await PutAsync("i1", Computed("b1", 1, 2));
        await AppendAsync(Impression("e", "u", "i1", 77));
        await Items.SetRepresentationsAsync([new("i1", External("b2", 9), null), new("i1", Computed("b3", 3), null)], default);

        await PutAsync("i1", Computed("b1", 5, 6));

        var item = await ItemAsync("i1");
        Assert.Equal(["b1", "b2"], item.Representations.Select(one => one.Bundle).Order());
        AssertVector(item, "b1", 5f, 6f);
        AssertVector(item, "b2", 9f);
        Assert.Equal(RepresentationSource.External, item.RepresentationFor("b2")!.Source);
        Assert.Equal(new ItemCounters(1, 0, 77), item.Counters);
    }

    [Fact]
    public async Task Computed_representation_does_not_replace_an_external_one_on_upsert()
    {
        await PutAsync("i1");
        await Items.SetRepresentationsAsync([new("i1", External("b1", 9), null)], default);

        await PutAsync("i1", Computed("b1", 5));

        AssertVector((await ItemAsync("i1")), "b1", 9f);
    }

    [Fact]
    public async Task Computed_representation_that_comes_late_does_not_replace_an_external_one()
    {
        var read = await PutAsync("i1");
        await Items.SetRepresentationsAsync([new("i1", External("b1", 9), null)], default);

        Assert.Equal(
            [false, true, true],
            await Items.SetRepresentationsAsync([new("i1", Computed("b1", 5), read), new("i1", Computed("b2", 6), read), new("i1", External("b3", 7), null)], default));

        var item = await ItemAsync("i1");
        AssertVector(item, "b1", 9f);
        AssertVector(item, "b2", 6f);
        await ReopenAsync();
        Assert.Equal(RepresentationSource.External, (await ItemAsync("i1")).RepresentationFor("b1")!.Source);
    }

    [Fact]
    public async Task Setting_a_representation_replaces_that_of_the_same_bundle()
    {
        await PutAsync("i1", Computed("b1", 1));

        Assert.Equal([true, true], await Items.SetRepresentationsAsync([new("i1", Computed("b1", 2), null), new("i1", Computed("b2", 3), null)], default));

        var item = await ItemAsync("i1");
        AssertVector(item, "b1", 2f);
        AssertVector(item, "b2", 3f);
    }

    [Fact]
    public async Task Representation_of_an_older_content_is_refused()
    {
        var first = await PutAsync("i1");
        var second = await PutAsync("i1", Computed("b1", 2));

        Assert.Equal([false], await Items.SetRepresentationsAsync([new("i1", Computed("b1", 1), IfVersion: first)], default));
        AssertVector((await ItemAsync("i1")), "b1", 2f);
        Assert.Equal([true], await Items.SetRepresentationsAsync([new("i1", Computed("b1", 3), IfVersion: second)], default));
        AssertVector((await ItemAsync("i1")), "b1", 3f);
    }

    [Fact]
    public async Task Events_and_representations_are_no_change_of_content()
    {
        var written = await PutAsync("i1");
        await AppendAsync(Click("a", "u", "i1"));
        var read = (await ItemAsync("i1")).Version;
        await AppendAsync(Click("b", "u", "i1"));
        Assert.True(read > written);

        Assert.Equal([true], await Items.SetRepresentationsAsync([new("i1", Computed("b1", 1), IfVersion: read)], default));
        Assert.Equal([true], await Items.SetRepresentationsAsync([new("i1", Computed("b1", 2), IfVersion: written)], default));
        await ReopenAsync();
        Assert.Equal([true], await Items.SetRepresentationsAsync([new("i1", Computed("b1", 3), IfVersion: written)], default));
        await PutAsync("i1");
        await ReopenAsync();
        Assert.Equal([false], await Items.SetRepresentationsAsync([new("i1", Computed("b1", 4), IfVersion: read)], default));
    }

    [Fact]
    public async Task Representation_for_the_item_before_a_delete_is_refused_after_the_insert()
    {
        var first = await PutAsync("i1");
        await Items.DeleteAsync(["i1"], default);
        await PutAsync("i1");

        Assert.Equal([false], await Items.SetRepresentationsAsync([new("i1", Computed("b1", 1), IfVersion: first)], default));
        Assert.Empty((await ItemAsync("i1")).Representations);
    }

    [Fact]
    public async Task Item_that_is_inserted_again_starts_from_nothing()
    {
        await PutAsync("i1", Computed("b1", 1));
        await Items.SetRepresentationsAsync([new("i1", External("b2", 1), null)], default);
        await AppendAsync(Click("e", "u", "i1"));

        Assert.Equal([true, false], await Items.DeleteAsync(["i1", "i1"], default));
        Assert.Null(await Items.GetAsync("i1", default));
        Assert.Equal(0, await Items.CountAsync(default));
        await PutAsync("i1");

        var item = await ItemAsync("i1");
        Assert.Equal(ItemCounters.None, item.Counters);
        Assert.Empty(item.Representations);
        Assert.Equal(1, await Items.CountAsync(default));
    }

    [Fact]
    public async Task Trim_keeps_only_the_named_bundles()
    {
        await Items.UpsertAsync([.. Enumerable.Range(0, 50).Select(i => new ItemUpsert($"i{i}", Content("x"), Computed("old", i)))], default);
        await Items.SetRepresentationsAsync([.. Enumerable.Range(0, 50).Select(i => new RepresentationUpdate($"i{i}", External("new", i), null))], default);

        await Items.TrimRepresentationsAsync(["new", "newer"], default);

        for (var i = 0; i < 50; i++)
        {
            Assert.Equal(["new"], (await ItemAsync($"i{i}")).Representations.Select(one => one.Bundle));
        }

        await Items.TrimRepresentationsAsync([], default);
        Assert.Empty((await ItemAsync("i0")).Representations);
    }

    [Fact]
    public async Task Counters_hold_the_time_of_the_first_event()
    {
        await PutAsync("i1");
        Assert.Equal(ItemCounters.NeverSeen, (await ItemAsync("i1")).Counters.FirstSeen);

        await AppendAsync(Impression("a", "u", "i1", 500));
        await AppendAsync(Impression("b", "v", "i1", 900), Click("c", "v", "i1", 901));

        Assert.Equal(new ItemCounters(2, 1, 500), (await ItemAsync("i1")).Counters);
        await ReopenAsync();
        Assert.Equal(new ItemCounters(2, 1, 500), (await ItemAsync("i1")).Counters);
    }

    [Fact]
    public async Task ReadAll_gives_every_item_once_and_in_full()
    {
        await Items.UpsertAsync([.. Enumerable.Range(0, 2_500).Select(i => new ItemUpsert($"i{i}", Content($"t{i}"), i % 3 == 0 ? null : Computed("b1", i)))], default);
        await Items.SetRepresentationsAsync([.. Enumerable.Range(0, 2_500).Where(i => i % 5 == 0).Select(i => new RepresentationUpdate($"i{i}", External("b2", i), null))], default);
        await Items.DeleteAsync([.. Enumerable.Range(0, 2_500).Where(i => i % 7 == 0).Select(i => $"i{i}")], default);
        await AppendAsync(Click("e", "u", "i1", 3));

        var all = new Dictionary<string, ItemRecord>();
        await foreach (var item in Items.ReadAllAsync(default))
        {
            all.Add(item.Id, item);
        }

        Assert.Equal(Enumerable.Range(0, 2_500).Where(i => i % 7 != 0).Select(i => $"i{i}").Order(), all.Keys.Order());
        Assert.Equal(new ItemCounters(0, 1, 3), all["i1"].Counters);
        foreach (var item in all.Values)
        {
            var one = await ItemAsync(item.Id);
            Assert.Equal(one.Version, item.Version);
            Assert.Equal(one.Content.Title, item.Content.Title);
            Assert.Equal(
                one.Representations.OrderBy(x => x.Bundle).Select(x => (x.Bundle, x.Values[0], x.Source)),
                item.Representations.OrderBy(x => x.Bundle).Select(x => (x.Bundle, x.Values[0], x.Source)));
        }
    }

    private static void AssertVector(ItemRecord item, string bundle, params float[] expected) => Assert.Equal(expected, item.RepresentationFor(bundle)?.Values);
}
