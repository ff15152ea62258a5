using RecBackend.Core.Users;

namespace RecBackend.Core.Tests.Users;

public class EventValidatorTests
{
    private static readonly ManualClock Clock = new();
    private static readonly long Now = Clock.GetUtcNow().ToUnixTimeMilliseconds();
    private static readonly InteractionEvent Good = new("e", "click", "u", "i", Now, null);
    private readonly EventValidator _validator = new(["click", "purchase"], Clock);

    public static TheoryData<InteractionEvent, string> Bad => new()
    {
        { Good with { EventId = "" }, "event_id_invalid" },
        { Good with { EventId = "a\nb" }, "event_id_invalid" },
        { Good with { Type = "Click" }, "event_type_unknown" },
        { Good with { Type = "" }, "event_type_unknown" },
        { Good with { User = new string('x', 129) }, "event_user_invalid" },
        { Good with { Item = "\ud800" }, "event_item_invalid" },
        { Good with { Timestamp = -1 }, "event_timestamp_invalid" },
        { Good with { Timestamp = Now + 86_400_001 }, "event_timestamp_invalid" },
    };

    [Theory]
    [InlineData("impression")]
    [InlineData("click")]
    [InlineData("purchase")]
    public void Impression_and_configured_actions_pass(string type) => Assert.Null(_validator.Check(Good with { Type = type }, 0));

    [Fact]
    public void Old_and_slightly_early_events_pass()
    {
        Assert.Null(_validator.Check(Good with { Timestamp = 0 }, 0));
        Assert.Null(_validator.Check(Good with { Timestamp = Now + 86_400_000 }, 0));
    }

    [Theory, MemberData(nameof(Bad))]
    public void Bad_event_is_named_by_place_and_code(InteractionEvent bad, string code)
    {
        var rejected = _validator.Check(bad, 7);
        Assert.Equal((7, code), (rejected!.Index, rejected.Code));
        Assert.NotNull(rejected.Detail);
    }
}
