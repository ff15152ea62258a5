using System.Collections.Concurrent;
using RecBackend.Core.Items;
using RecBackend.Core.Users;
using Xunit.Abstractions;

namespace RecBackend.Engine.Contract;

/// <summary>An engine against a model of it, under writers that get in each other's way.</summary>
public abstract class ConcurrencyContract(ITestOutputHelper output) : EngineContract
{
    private const int Writers = 8;
    private const int CallsOfAWriter = 150;

    [Fact]
    public async Task Counters_equal_a_model_under_random_concurrent_operations()
    {
        var seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        await PutAsync(Enumerable.Range(0, 20).Select(i => $"i{i}"));
        var last = new ConcurrentDictionary<string, ItemChange>();
        using var subscription = Engine.Changes.Subscribe(changes =>
        {
            foreach (var change in changes)
            {
                last[change.Id] = change;
            }
        });

        // Users and items are shared by all writers; event IDs too, so that retries cross.
        var model = new ConcurrentDictionary<(string User, string Event), InteractionEvent>();
        var receipts = await Task.WhenAll(Enumerable.Range(0, Writers).Select(writer => Task.Run(() => WriteAsync(new Random(seed + writer), model))));

        await SettleAsync();
        Assert.Equal(model.Count, receipts.Sum(totals => totals.Accepted));
        Assert.Equal(receipts.Sum(totals => totals.Sent), receipts.Sum(totals => totals.Accepted + totals.Duplicates + totals.Rejected));
        await AssertModelAsync(model);
        for (var i = 0; i < 20; i++)
        {
            Assert.Equal((await ItemAsync($"i{i}")).Counters, last[$"i{i}"].Counters);
            Assert.Equal((await ItemAsync($"i{i}")).Version, last[$"i{i}"].Version);
        }

        await CrashAsync();
        await AssertModelAsync(model);
    }

    private async Task<(int Sent, int Accepted, int Duplicates, int Rejected)> WriteAsync(
        Random random, ConcurrentDictionary<(string User, string Event), InteractionEvent> model)
    {
        var (sent, accepted, duplicates, rejected) = (0, 0, 0, 0);
        for (var call = 0; call < CallsOfAWriter; call++)
        {
            switch (random.Next(10))
            {
                case 0:
                    await PutAsync($"i{random.Next(20)}", Computed("b1", call));
                    break;
                case 1:
                    await Items.SetRepresentationsAsync([new($"i{random.Next(20)}", Computed("b2", call), null)], default);
                    break;
                case 2:
                    await Users.SetAttributesAsync([new($"u{random.Next(10)}", new Dictionary<string, string> { ["n"] = $"{call}" })], default);
                    break;
                case 3:
                    var seen = await UserAsync($"u{random.Next(10)}");
                    Assert.True(seen.History.Length <= Math.Min(seen.Clicks, UserSnapshot.MaxHistory));
                    break;
                default:
                    // What an event says follows from its ID, so that whichever of two concurrent copies wins, the model is the same.
                    var batch = Enumerable.Range(0, random.Next(1, 20)).Select(_ => Event(random.Next(5_000))).ToArray();
                    var known = batch.Where(one => one.Item != "nope").ToArray();
                    foreach (var one in known)
                    {
                        model[(one.User, one.EventId)] = one;
                    }

                    var receipt = await Users.AppendAsync(batch, default);
                    Assert.Equal(batch.Length - known.Length, receipt.Rejected.Count);
                    sent += batch.Length;
                    accepted += receipt.Accepted;
                    duplicates += receipt.Duplicates;
                    rejected += receipt.Rejected.Count;
                    break;
            }
        }

        return (sent, accepted, duplicates, rejected);

        static InteractionEvent Event(int number)
        {
            var item = number % 31 == 0 ? "nope" : $"i{number % 20}";
            return number % 3 == 0
                ? Click($"e{number}", $"u{number % 10}", item, number)
                : Impression($"e{number}", $"u{number % 10}", item, number);
        }
    }

    private async Task AssertModelAsync(ConcurrentDictionary<(string User, string Event), InteractionEvent> model)
    {
        for (var u = 0; u < 10; u++)
        {
            var own = model.Values.Where(one => one.User == $"u{u}").ToArray();
            var user = await UserAsync($"u{u}");
            Assert.Equal(own.Count(one => one.Type == InteractionEvent.Impression), user.Impressions);
            Assert.Equal(own.Count(one => one.Type == InteractionEvent.Click), user.Clicks);
            Assert.Equal(
                own.Where(one => one.Type == InteractionEvent.Click).Select(one => one.Timestamp).OrderDescending().Take(UserSnapshot.MaxHistory),
                user.History.Select(entry => entry.Timestamp));
        }

        for (var i = 0; i < 20; i++)
        {
            var own = model.Values.Where(one => one.Item == $"i{i}").ToArray();
            var expected = new ItemCounters(
                own.Count(one => one.Type == InteractionEvent.Impression),
                own.Count(one => one.Type == InteractionEvent.Click),
                own.Length == 0 ? ItemCounters.NeverSeen : own.Min(one => one.Timestamp));
            Assert.Equal(expected, (await ItemAsync($"i{i}")).Counters);
        }
    }
}
