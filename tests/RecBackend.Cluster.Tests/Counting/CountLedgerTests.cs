using RecBackend.Grains.Counting;
using Xunit.Abstractions;

namespace RecBackend.Cluster.Tests.Counting;

/// <summary>Counts of users that travel in batches, are sent twice, late, never, or alone: each must count once.</summary>
public sealed class CountLedgerTests(ITestOutputHelper output)
{
    [Fact]
    public void Every_count_counts_once_whatever_is_sent_twice_late_or_by_others()
    {
        for (var round = 0; round < 2_000; round++)
        {
            var seed = Random.Shared.Next();
            var random = new Random(seed);
            var ledger = new CountLedger();
            var counted = new Dictionary<(CountBatch, string), int>();
            var incarnation = Guid.NewGuid();
            var batches = Enumerable.Range(1, 5).Select(number => (Id: new CountBatch(incarnation, number), Users: Users(random), LeftOut: Users(random))).ToList();

            // The sender dies somewhere; its last message may arrive after others have taken over.
            var last = random.Next(batches.Count + 1);
            var calls = new List<Action>();
            foreach (var batch in batches.Take(last))
            {
                for (var times = random.Next(1, 3); times > 0; times--)
                {
                    calls.Add(() => Send(batch));
                }
            }

            foreach (var batch in batches)
            {
                foreach (var user in batch.Users.Union(batch.LeftOut))
                {
                    calls.Insert(random.Next(calls.Count + 1), () => SendAlone(batch.Id, user));
                    calls.Add(() => SendAlone(batch.Id, user));
                }
            }

            calls.ForEach(call => call());
            foreach (var batch in batches)
            {
                foreach (var user in batch.Users.Union(batch.LeftOut))
                {
                    if (counted.GetValueOrDefault((batch.Id, user)) != 1)
                    {
                        output.WriteLine($"seed {seed}");
                    }

                    Assert.Equal(1, counted.GetValueOrDefault((batch.Id, user)));
                }
            }

            void Send((CountBatch Id, HashSet<string> Users, HashSet<string> LeftOut) batch)
            {
                switch (ledger.Decide(batch.Id))
                {
                    case CountDecision.Count:
                        ledger.Note(batch.Id, batch.LeftOut);
                        foreach (var user in batch.Users.Except(batch.LeftOut))
                        {
                            Count(batch.Id, user);
                        }

                        break;
                    case CountDecision.Refuse:
                        foreach (var user in batch.Users.Except(batch.LeftOut))
                        {
                            SendAlone(batch.Id, user);
                        }

                        break;
                }
            }

            void SendAlone(CountBatch batch, string user)
            {
                if (ledger.DecideAlone(new(batch, user)) == CountDecision.Count)
                {
                    ledger.NoteAlone(new(batch, user));
                    Count(batch, user);
                }
            }

            void Count(CountBatch batch, string user) => counted[(batch, user)] = counted.GetValueOrDefault((batch, user)) + 1;
        }
    }

    private static HashSet<string> Users(Random random) => [.. Enumerable.Range(0, random.Next(4)).Select(_ => $"u{random.Next(5)}")];
}
