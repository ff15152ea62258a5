using RecBackend.Core.Catalog;
using RecBackend.Core.Features;
using RecBackend.Core.Models;
using RecBackend.Core.Tests.Catalog;
using RecBackend.Core.Users;

namespace RecBackend.Core.Tests.Features;

public class UserFeatureTests
{
    private readonly ServingModel _serving = new(new FakeModel(1), new ItemCatalog(FakeModel.LayoutOf("bundle-1"), RowPrecision.Single));

    [Fact]
    public void Deleted_item_leaves_the_history_and_the_next_one_takes_its_place()
    {
        foreach (var (number, id) in "abcd".Index())
        {
            ItemCatalogTests.Put(_serving.Catalog, $"{id}", 1, value: number + 1);
        }

        _serving.Catalog.Delete("c"u8, 2);
        var user = new UserSnapshot
        {
            Id = "u",
            History = [new("d", "click", 9_000), new("c", "click", 8_000), new("b", "click", 7_000), new("a", "click", 6_000)],
        };

        var features = Write(user);

        Assert.Equal([4, 2, 1], FirstFloats(features));
        Assert.Equal([1, 1, 1], features.Mask);
        Assert.Equal([0, (float)Math.Log(3), (float)Math.Log(4)], features.Intervals);
    }

    [Fact]
    public void Event_of_an_action_that_the_bundle_does_not_read_is_left_out()
    {
        ItemCatalogTests.Put(_serving.Catalog, "a", 1, value: 1);
        var user = new UserSnapshot { Id = "u", History = [new("a", "purchase", 9_000), new("a", "click", 8_000)] };

        var features = Write(user);

        Assert.Equal([1, 0, 0], features.Mask);
        Assert.Equal(8_000, UserFeatureWriter.NewestEvent(user, _serving));
    }

    [Fact]
    public void Nothing_of_the_user_before_stays_in_the_buffers()
    {
        ItemCatalogTests.Put(_serving.Catalog, "a", 1, value: 1);
        var features = new UserFeatures(_serving.Layout);
        UserFeatureWriter.Write(
            new UserSnapshot { Id = "u", Clicks = 3, Impressions = 9, Attributes = new Dictionary<string, string> { ["gender"] = "M" }, History = [new("a", "click", 1)] },
            _serving, features);

        UserFeatureWriter.Write(new UserSnapshot { Id = "stranger" }, _serving, features);

        Assert.All(features.History, value => Assert.Equal(0, value));
        Assert.All(features.Mask, value => Assert.Equal(0, value));
        Assert.All(features.Actions, value => Assert.Equal(0, value));
        Assert.Equal([0L], features.Profile);
        Assert.Equal([0f], features.UserStatistics);
    }

    [Theory]
    [InlineData("F", 2)]
    [InlineData("M", 3)]
    [InlineData("other", 1)]
    [InlineData(null, 0)]
    public void Attribute_becomes_its_place_in_the_vocabulary(string? gender, long expected)
    {
        var attributes = new Dictionary<string, string>();
        if (gender is not null)
        {
            attributes["gender"] = gender;
        }

        Assert.Equal([expected], Write(new UserSnapshot { Id = "u", Attributes = attributes }).Profile);
    }

    [Fact]
    public void Context_takes_the_callers_numbers_by_name()
    {
        Span<float> context = stackalloc float[3];
        ContextFeatures.Write(["temperature", "since_last_event", "absent"], 5_000, newestEvent: 9_000, [new("temperature", 21.5)], context);
        Assert.Equal([21.5f, 0, 0], context.ToArray());
    }

    private UserFeatures Write(UserSnapshot user)
    {
        var features = new UserFeatures(_serving.Layout);
        UserFeatureWriter.Write(user, _serving, features);
        return features;
    }

    private IEnumerable<float> FirstFloats(UserFeatures features) =>
        Enumerable.Range(0, _serving.Layout.History).Select(place => features.History[place * _serving.Catalog.VectorWidth]);
}
