using RecBackend.Grains.Counting;

namespace RecBackend.Cluster.Tests.Counting;

/// <summary>Counts of users that travel in batches, are sent twice, late, never, or alone: each must count once.</summary>
public sealed class CountLedgerTests
{
    [Fact]
    public void Every_count_counts_once_whatever_is_sent_twice_late_or_by_others()
    {
        for (var round = 0; round < 3_000; round++)
        {
            var seed = Random.Shared.Next();
            var random = new Random(seed);
            var ledger = new CountLedger();
            var counted = new Dictionary<(CountBatch, Write), int>();
            var incarnation = Guid.NewGuid();
            var batches = Enumerable.Range(1, 5).Select(number => new Sent(new(incarnation, number), Writes(random), Users(random))).ToList();

            // The sender dies somewhere, or pauses, and goes on after others have taken over: its messages come in order, and each perhaps twice.
            var last = random.Next(batches.Count + 1);
            var calls = new List<Action>();
            foreach (var batch in batches.Take(last))
            {
                for (var times = random.Next(1, 3); times > 0; times--)
                {
                    calls.Add(() => Send(batch));
                }
            }

            // Others bring what they know of: of the writes of a user in one batch perhaps only the first, and the rest later.
            foreach (var batch in batches)
            {
                foreach (var write in batch.Writes)
                {
                    calls.Insert(random.Next(calls.Count + 1), () => SendAlone(batch.Id, write));
                    calls.Add(() => SendAlone(batch.Id, write));
                }
            }

            calls.ForEach(call => call());
            foreach (var batch in batches)
            {
                foreach (var write in batch.Writes)
                {
                    Assert.True(counted.GetValueOrDefault((batch.Id, write)) == 1, $"{write} of {batch.Id.Number} counted {counted.GetValueOrDefault((batch.Id, write))} times, seed {seed}");
                }
            }

            void Send(Sent batch)
            {
                var travel = batch.Writes.Where(write => !batch.LeftOut.Contains(write.User)).ToList();
                switch (ledger.Decide(batch.Id))
                {
                    case CountDecision.Count:
                        ledger.Note(batch.Id, batch.LeftOut);
                        travel.ForEach(write => Count(batch.Id, write));
                        break;
                    case CountDecision.Refuse:
                        travel.ForEach(write => SendAlone(batch.Id, write));
                        break;
                }
            }

            void SendAlone(CountBatch batch, Write write)
            {
                var part = new UserOfBatch(batch, write.User, write.Version);
                if (ledger.DecideAlone(part) == CountDecision.Count)
                {
                    ledger.NoteAlone(part);
                    Count(batch, write);
                }
            }

            void Count(CountBatch batch, Write write) => counted[(batch, write)] = counted.GetValueOrDefault((batch, write)) + 1;
        }
    }

    private static HashSet<string> Users(Random random) => [.. Enumerable.Range(0, random.Next(3)).Select(_ => $"u{random.Next(5)}")];

    private static List<Write> Writes(Random random) =>
        [.. Enumerable.Range(0, random.Next(6)).Select(_ => new Write($"u{random.Next(5)}", random.Next(3))).Distinct()];

    private sealed record Sent(CountBatch Id, List<Write> Writes, HashSet<string> LeftOut);

    private readonly record struct Write(string User, long Version);
}
