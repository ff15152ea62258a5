using System.Globalization;
using RecBackend.Core.Models;
using RecBackend.Core.Users;

namespace RecBackend.Engine.Contract;

/// <summary>What users can rely on.</summary>
public abstract class UserContract : EngineContract
{
    [Fact]
    public async Task User_never_heard_of_is_empty()
    {
        var user = await UserAsync("nobody");

        Assert.Equal("nobody", user.Id);
        Assert.False(user.Known);
        Assert.Equal(0, user.Version);
        Assert.Empty(user.History);
        Assert.Empty(user.Attributes);
    }

    [Fact]
    public async Task Acknowledged_event_is_seen_by_the_next_read()
    {
        await PutAsync("i1");
        for (var i = 0; i < 50; i++)
        {
            AssertReceipt(await AppendAsync(Click($"e{i}", "u", "i1", i)), accepted: 1);
            var user = await UserAsync("u");
            Assert.Equal(i + 1, user.Clicks);
            Assert.Equal(new HistoryEntry("i1", "click", i), user.History[0]);
        }
    }

    [Fact]
    public async Task Acknowledged_writes_survive_a_crash()
    {
        await PutAsync("i1");
        await AppendAsync(Impression("e1", "u", "i1", 5), Click("e2", "u", "i1", 6));
        await Users.SetAttributesAsync([new("u", new Dictionary<string, string> { ["age"] = "25" })], default);
        var before = await UserAsync("u");

        await CrashAsync();

        var after = await UserAsync("u");
        Assert.True(after.Known);
        Assert.Equal(before.Version, after.Version);
        Assert.Equal((1, 1), (after.Impressions, after.Clicks));
        Assert.Equal(new HistoryEntry("i1", "click", 6), Assert.Single(after.History));
        Assert.Equal("25", after.Attributes["age"]);
        Assert.Equal((1, 1, 5), ((await ItemAsync("i1")).Counters.Impressions, (await ItemAsync("i1")).Counters.Clicks, (await ItemAsync("i1")).Counters.FirstSeen));
    }

    [Fact]
    public async Task Duplicate_in_the_same_batch_counts_once()
    {
        await PutAsync("i1");

        AssertReceipt(await AppendAsync(Click("e", "u", "i1"), Click("e", "u", "i1"), Click("f", "u", "i1")), accepted: 2, duplicates: 1);

        Assert.Equal(2, (await UserAsync("u")).Clicks);
        Assert.Equal(2, (await ItemAsync("i1")).Counters.Clicks);
    }

    [Fact]
    public async Task Duplicate_in_a_later_batch_changes_nothing()
    {
        await PutAsync("i1");
        await AppendAsync(Click("e", "u", "i1"));
        var before = await UserAsync("u");

        AssertReceipt(await AppendAsync(Click("e", "u", "i1"), Impression("e", "u", "i1")), duplicates: 2);

        Assert.Equal(before.Version, (await UserAsync("u")).Version);
        Assert.Equal(1, (await ItemAsync("i1")).Counters.Clicks);
        Assert.Equal(0, (await ItemAsync("i1")).Counters.Impressions);
    }

    [Fact]
    public async Task Duplicate_is_known_after_a_restart()
    {
        await PutAsync("i1");
        await AppendAsync(Click("e", "u", "i1"));

        await ReopenAsync();

        AssertReceipt(await AppendAsync(Click("e", "u", "i1"), Click("f", "u", "i1")), accepted: 1, duplicates: 1);
        Assert.Equal(2, (await UserAsync("u")).Clicks);
    }

    [Fact]
    public async Task Event_ids_of_two_users_are_apart()
    {
        await PutAsync("i1");

        AssertReceipt(await AppendAsync(Click("e", "u", "i1"), Click("e", "v", "i1")), accepted: 2);
    }

    [Fact]
    public async Task Concurrent_duplicates_are_accepted_once_and_visible_to_each_caller()
    {
        await PutAsync("i1");
        for (var round = 0; round < 50; round++)
        {
            var id = $"e{round}";
            var receipts = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
            {
                var receipt = await AppendAsync(Click(id, "u", "i1", round));

                // Whoever was told "duplicate" must be able to rely on it as on an acknowledgement.
                Assert.Contains((await UserAsync("u")).History, entry => entry.Timestamp == round);
                return receipt;
            })));

            Assert.Equal(1, receipts.Sum(receipt => receipt.Accepted));
            Assert.Equal(7, receipts.Sum(receipt => receipt.Duplicates));
        }

        Assert.Equal(50, (await UserAsync("u")).Clicks);
        Assert.Equal(50, (await ItemAsync("i1")).Counters.Clicks);
    }

    [Fact]
    public async Task Event_ids_are_remembered_over_the_last_thousand_events_however_old()
    {
        await PutAsync("i1");
        await AppendAsync(Impression("first", "u", "i1"));
        Clock.Advance(TimeSpan.FromDays(400));
        await AppendManyAsync(999);

        AssertReceipt(await AppendAsync(Impression("first", "u", "i1")), duplicates: 1);
        await ReopenAsync();
        AssertReceipt(await AppendAsync(Impression("first", "u", "i1")), duplicates: 1);
    }

    [Fact]
    public async Task Event_ids_are_remembered_for_a_day_however_many()
    {
        await PutAsync("i1");
        await AppendAsync(Impression("first", "u", "i1"));
        Clock.Advance(TimeSpan.FromHours(24));
        await AppendManyAsync(3_000);

        AssertReceipt(await AppendAsync(Impression("first", "u", "i1"), Impression("n0", "u", "i1")), duplicates: 2);
        await ReopenAsync();
        AssertReceipt(await AppendAsync(Impression("first", "u", "i1"), Impression("n0", "u", "i1")), duplicates: 2);
    }

    [Fact]
    public async Task Event_of_unknown_item_is_rejected_and_the_others_are_stored()
    {
        await PutAsync("i1");

        var receipt = await AppendAsync(Click("a", "u", "nope"), Click("b", "u", "i1"), Click("c", "v", "nope"), Click("b", "u", "i1"));

        AssertReceipt(receipt, 1, 1, (0, "item_unknown"), (2, "item_unknown"));
        Assert.Equal(1, (await UserAsync("u")).Clicks);
        Assert.False((await UserAsync("v")).Known);
        AssertReceipt(await AppendAsync(Click("a", "u", "i1")), accepted: 1);
    }

    [Fact]
    public async Task Event_that_was_accepted_is_a_duplicate_also_after_its_item_was_deleted()
    {
        await PutAsync("i1");
        await AppendAsync(Click("e", "u", "i1"));
        await Items.DeleteAsync(["i1"], default);

        AssertReceipt(await AppendAsync(Click("e", "u", "i1"), Click("f", "u", "i1")), 0, 1, (1, "item_unknown"));
    }

    [Fact]
    public async Task Events_of_one_call_keep_their_order()
    {
        await PutAsync(Enumerable.Range(0, 100).Select(Name));

        await AppendAsync([.. Enumerable.Range(0, 100).Select(i => Click($"e{i}", "u", Name(i), timestamp: 7))]);

        Assert.Equal(Enumerable.Range(0, 100).Reverse().Select(Name), (await UserAsync("u")).History.Select(entry => entry.Item));
        await ReopenAsync();
        Assert.Equal(Enumerable.Range(0, 100).Reverse().Select(Name), (await UserAsync("u")).History.Select(entry => entry.Item));
    }

    [Fact]
    public async Task History_is_newest_first_by_time_whatever_the_order_of_arrival()
    {
        await PutAsync("i1");

        await AppendAsync(Click("a", "u", "i1", 30), Click("b", "u", "i1", 10), Impression("x", "u", "i1", 40));
        await AppendAsync(Click("c", "u", "i1", 20), Click("d", "u", "i1", 40));

        Assert.Equal([40, 30, 20, 10], (await UserAsync("u")).History.Select(entry => entry.Timestamp));
        await ReopenAsync();
        Assert.Equal([40, 30, 20, 10], (await UserAsync("u")).History.Select(entry => entry.Timestamp));
    }

    [Fact]
    public async Task History_keeps_its_newest_entries_in_memory_and_across_restarts()
    {
        await PutAsync("i1");
        var seed = Random.Shared.Next();
        var order = Enumerable.Range(0, 700).Select(i => (long)i).ToArray();
        new Random(seed).Shuffle(order);
        var expected = order.OrderDescending().Take(UserSnapshot.MaxHistory);

        for (var i = 0; i < order.Length; i += 70)
        {
            await AppendAsync([.. order.Skip(i).Take(70).Select(time => Click($"e{time}", "u", "i1", time))]);
            if (i == 350)
            {
                await ReopenAsync();
            }
        }

        Assert.True(expected.SequenceEqual((await UserAsync("u")).History.Select(entry => entry.Timestamp)), $"seed {seed}");
        await ReopenAsync();
        Assert.True(expected.SequenceEqual((await UserAsync("u")).History.Select(entry => entry.Timestamp)), $"seed {seed}");
        Assert.Equal(700, (await UserAsync("u")).Clicks);
    }

    [Fact]
    public async Task Attributes_are_replaced_and_raise_the_version()
    {
        await Users.SetAttributesAsync([new("u", new Dictionary<string, string> { ["age"] = "25", ["city"] = "Köln" })], default);
        var first = await UserAsync("u");
        await Users.SetAttributesAsync([new("u", new Dictionary<string, string> { ["age"] = "26" })], default);
        var second = await UserAsync("u");

        Assert.True(first.Known);
        Assert.Equal("Köln", first.Attributes["city"]);
        Assert.True(second.Version > first.Version);
        Assert.Equal(new Dictionary<string, string> { ["age"] = "26" }, second.Attributes);

        await ReopenAsync();
        Assert.Equal(new Dictionary<string, string> { ["age"] = "26" }, (await UserAsync("u")).Attributes);
        Assert.Equal(second.Version, (await UserAsync("u")).Version);
    }

    [Fact]
    public async Task Erased_user_is_forgotten_and_item_counters_stay()
    {
        await PutAsync("i1");
        await AppendAsync(Click("e", "u", "i1"), Click("e", "v", "i1"));
        await Users.SetAttributesAsync([new("u", new Dictionary<string, string> { ["age"] = "25" })], default);

        Assert.True(await Users.EraseAsync("u", default));

        Assert.False((await UserAsync("u")).Known);
        Assert.Empty((await UserAsync("u")).Attributes);
        Assert.Equal(0, (await UserAsync("u")).Version);
        Assert.Equal(1, (await UserAsync("v")).Clicks);
        Assert.Equal(2, (await ItemAsync("i1")).Counters.Clicks);
        Assert.False(await Users.EraseAsync("u", default));

        await ReopenAsync();
        Assert.False((await UserAsync("u")).Known);
        AssertReceipt(await AppendAsync(Click("e", "u", "i1")), accepted: 1);
        Assert.Equal(1, (await UserAsync("u")).Clicks);
    }

    [Fact]
    public async Task Snapshot_does_not_change_after_it_was_read()
    {
        await PutAsync("i1");
        await AppendAsync(Click("a", "u", "i1"));
        var snapshot = await UserAsync("u");

        await AppendAsync(Click("b", "u", "i1"));

        Assert.Equal(1, snapshot.Clicks);
        Assert.Single(snapshot.History);
    }

    [Fact]
    public async Task Encoding_is_kept_until_the_user_moves_on()
    {
        await PutAsync("i1");
        await AppendAsync(Click("a", "u", "i1"));
        var snapshot = await UserAsync("u");
        var encoding = new UserEncoding("b1", snapshot.Version, [1f], [2f]);

        Users.CacheEncoding(snapshot, encoding);
        for (var tries = 0; tries < 200 && (await UserAsync("u")).Encoding is null; tries++)
        {
            // An engine may carry it to its user in the background.
            await Task.Delay(10);
        }

        var kept = (await UserAsync("u")).Encoding!;
        Assert.Equal(("b1", snapshot.Version), (kept.Bundle, kept.UserVersion));
        Assert.Equal([1f], kept.UserState);
        Assert.Equal([2f], kept.HistoryState);

        await AppendAsync(Click("b", "u", "i1"));
        Users.CacheEncoding(snapshot, encoding);
        Assert.False((await UserAsync("u")).Encoding?.IsFor("b1", (await UserAsync("u")).Version) ?? false);
    }

    [Fact]
    public async Task Encoding_of_an_erased_user_is_not_kept_for_who_comes_back()
    {
        await PutAsync("i1");
        await AppendAsync(Click("a", "u", "i1"));
        var snapshot = await UserAsync("u");
        await Users.EraseAsync("u", default);
        await AppendAsync(Click("b", "u", "i1"));

        Users.CacheEncoding(snapshot, new UserEncoding("b1", snapshot.Version, [1f], [2f]));

        Assert.Equal(snapshot.Version, (await UserAsync("u")).Version);
        Assert.Null((await UserAsync("u")).Encoding);
    }

    [Fact]
    public async Task Empty_batch_is_accepted()
    {
        AssertReceipt(await AppendAsync());
        await Users.SetAttributesAsync([], default);
        Assert.Empty(await Items.UpsertAsync([], default));
    }

    private static string Name(int number) => "i" + number.ToString(CultureInfo.InvariantCulture);

    private async Task AppendManyAsync(int count)
    {
        for (var i = 0; i < count; i += 100)
        {
            var batch = Enumerable.Range(i, Math.Min(100, count - i)).Select(n => Impression($"n{n}", "u", "i1"));
            AssertReceipt(await AppendAsync([.. batch]), accepted: Math.Min(100, count - i));
        }
    }
}
