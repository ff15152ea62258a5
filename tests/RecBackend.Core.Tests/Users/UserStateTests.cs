using RecBackend.Core.Models;
using RecBackend.Core.Users;
using Xunit.Abstractions;

namespace RecBackend.Core.Tests.Users;

public class UserStateTests(ITestOutputHelper output)
{
    private readonly ManualClock _clock = new();

    [Fact]
    public void Event_told_twice_counts_once()
    {
        var user = new UserState("u", _clock);
        Assert.Equal(EventOutcome.Accepted, user.Apply(Click("1", "a", 1)));
        Assert.Equal(EventOutcome.Duplicate, user.Apply(Click("1", "a", 1)));
        user.Commit();
        Assert.Equal(EventOutcome.Duplicate, user.Apply(Click("1", "a", 1)));
        user.Commit();

        Assert.Equal(1, user.Snapshot.Clicks);
        Assert.Single(user.Snapshot.History);
        Assert.Equal(1, user.Snapshot.Version);
    }

    [Fact]
    public void Last_1000_events_are_remembered_whatever_their_age()
    {
        var user = new UserState("u", _clock);
        for (var i = 0; i < 1_500; i++)
        {
            Tell(user, Click($"{i}", "a", i));
        }

        _clock.Advance(TimeSpan.FromDays(30));
        Tell(user, Click("new", "a", 9));

        Assert.Equal(EventOutcome.Duplicate, user.Apply(Click("501", "a", 1)));
        Assert.Equal(EventOutcome.Duplicate, user.Apply(Click("1499", "a", 1)));
        Assert.Equal(EventOutcome.Accepted, user.Apply(Click("500", "a", 1)));
    }

    [Fact]
    public void Events_of_the_last_24_hours_are_remembered_however_many()
    {
        var user = new UserState("u", _clock);
        for (var i = 0; i < 3_000; i++)
        {
            Tell(user, Click($"{i}", "a", i));
        }

        _clock.Advance(TimeSpan.FromHours(24) - TimeSpan.FromSeconds(1));
        Tell(user, Click("new", "a", 9));
        Assert.Equal(EventOutcome.Duplicate, user.Apply(Click("0", "a", 1)));
    }

    [Fact]
    public void What_leaves_the_window_is_told_once()
    {
        var user = new UserState("u", _clock);
        for (var i = 0; i < 1_200; i++)
        {
            Tell(user, Click($"{i}", "a", i));
        }

        _clock.Advance(TimeSpan.FromHours(25));
        user.Apply(Click("new", "a", 9));
        var changes = user.Changes();

        Assert.Equal(Enumerable.Range(0, 201).Select(i => $"{i}"), changes.Forgotten);
        Assert.Equal("new", Assert.Single(changes.Arrived).EventId);

        user.Commit();
        Assert.Equal(1_000, user.ToRecord().Arrivals.Count);
        Assert.Empty(user.Changes().Forgotten);
        Assert.Empty(user.Changes().Arrived);
    }

    [Fact]
    public void Uncommitted_events_do_not_show()
    {
        var user = new UserState("u", _clock);
        user.Apply(Click("1", "a", 1));
        Assert.False(user.Snapshot.Known);
        Assert.True(user.HasChanges);
        Assert.Equal(1, user.Changes().After.Clicks);

        user.Commit();
        Assert.True(user.Snapshot.Known);
        Assert.False(user.HasChanges);
    }

    [Fact]
    public void Rolled_back_event_can_be_told_again()
    {
        var user = new UserState("u", _clock);
        Tell(user, Click("1", "a", 1));
        var before = user.Snapshot;

        user.Apply(Click("2", "b", 2));
        user.Changes();
        user.Rollback();

        Assert.Same(before, user.Snapshot);
        Assert.False(user.HasChanges);
        Assert.Equal(EventOutcome.Duplicate, user.Apply(Click("1", "a", 1)));
        Assert.Equal(EventOutcome.Accepted, user.Apply(Click("2", "b", 2)));
        user.Commit();
        Assert.Equal(2, user.Snapshot.Clicks);
    }

    [Fact]
    public void History_is_newest_first_by_time_then_by_arrival_and_bounded()
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var user = new UserState("u", _clock);
        var told = new List<HistoryEntry>();
        for (var i = 0; i < 600; i++)
        {
            var time = random.Next(100);
            Tell(user, Click($"{i}", $"item {i}", time));
            told.Insert(0, new($"item {i}", InteractionEvent.Click, time));
        }

        Assert.Equal(told.OrderByDescending(entry => entry.Timestamp).Take(UserSnapshot.MaxHistory), user.Snapshot.History);
        Assert.Equal(600, user.Snapshot.Clicks);
    }

    [Fact]
    public void Impression_counts_but_enters_no_history()
    {
        var user = new UserState("u", _clock);
        Tell(user, new("1", InteractionEvent.Impression, "u", "a", 1, null));
        Assert.Equal((1, 0, 0), (user.Snapshot.Impressions, user.Snapshot.Clicks, user.Snapshot.History.Length));
        Assert.Equal(1, user.Snapshot.Version);
    }

    [Fact]
    public void Restored_user_is_the_stored_one()
    {
        var user = new UserState("u", _clock);
        for (var i = 0; i < 1_100; i++)
        {
            Tell(user, Click($"{i}", $"item {i % 7}", i));
        }

        user.SetAttributes(new Dictionary<string, string> { ["gender"] = "F" });
        user.Commit();

        var restored = new UserState(user.ToRecord(), _clock);

        Assert.Equal(user.Snapshot.History.AsEnumerable(), restored.Snapshot.History.AsEnumerable());
        Assert.Equal(
            (user.Snapshot.Version, user.Snapshot.Clicks, user.Snapshot.Impressions),
            (restored.Snapshot.Version, restored.Snapshot.Clicks, restored.Snapshot.Impressions));
        Assert.Equal("F", restored.Snapshot.Attributes["gender"]);
        Assert.Equal(EventOutcome.Duplicate, restored.Apply(Click("0", "a", 1)));
    }

    [Fact]
    public void Encoding_is_kept_until_the_next_event()
    {
        var user = new UserState("u", _clock);
        Tell(user, Click("1", "a", 1));
        var read = user.Snapshot;
        user.CacheEncoding(read, new("bundle-1", read.Version, [], []));
        Assert.True(user.Snapshot.Encoding!.IsFor("bundle-1", 1));

        Tell(user, Click("2", "b", 2));
        Assert.Null(user.Snapshot.Encoding);

        user.CacheEncoding(read, new("bundle-1", read.Version, [], []));
        Assert.Null(user.Snapshot.Encoding);
    }

    [Fact]
    public void Encoding_of_an_erased_user_is_not_given_to_the_one_who_comes_back()
    {
        var erased = new UserState("u", _clock);
        Tell(erased, Click("1", "secret", 1));
        var read = erased.Snapshot;

        var back = new UserState("u", _clock);
        Tell(back, Click("1", "other", 1));
        back.CacheEncoding(read, new("bundle-1", read.Version, [], []));

        Assert.Null(back.Snapshot.Encoding);
    }

    [Fact]
    public void Encoding_that_comes_while_events_wait_for_the_disk_is_kept_for_the_committed_user_only()
    {
        var user = new UserState("u", _clock);
        Tell(user, Click("1", "a", 1));
        user.Apply(Click("2", "b", 2));

        user.CacheEncoding(user.Snapshot, new UserEncoding("bundle-1", 1, [], []));
        Assert.NotNull(user.Snapshot.Encoding);
        user.Rollback();
        Assert.NotNull(user.Snapshot.Encoding);

        user.Apply(Click("2", "b", 2));
        user.Commit();
        Assert.Null(user.Snapshot.Encoding);
    }

    private static void Tell(UserState user, InteractionEvent one)
    {
        Assert.Equal(EventOutcome.Accepted, user.Apply(one));
        user.Changes();
        user.Commit();
    }

    private static InteractionEvent Click(string id, string item, long time) => new(id, InteractionEvent.Click, "u", item, time, null);
}
