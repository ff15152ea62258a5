using RecBackend.Core.Tests;
using RecBackend.Grains.Counting;
using RecBackend.Grains.Storage;

namespace RecBackend.Cluster.Tests.Counting;

/// <summary>Counts of users that travel in batches, are sent twice, late, never, or alone: each must count once.</summary>
public sealed class CountLedgerTests
{
    private static readonly MessagePackStateSerializer Serializer = new();

    [Fact]
    public void Every_count_counts_once_whatever_is_sent_twice_late_or_by_others()
    {
        for (var round = 0; round < 3_000; round++)
        {
            var seed = Random.Shared.Next();
            var random = new Random(seed);
            var shard = new Shard();
            var incarnation = Guid.NewGuid();
            var batches = Enumerable.Range(1, 5).Select(number => new Sent(new(incarnation, number), Writes(random), Users(random))).ToList();

            // The sender dies somewhere, or pauses, and goes on after others have taken over: its messages come in order, and each perhaps twice.
            var last = random.Next(batches.Count + 1);
            var calls = new List<Action>();
            foreach (var batch in batches.Take(last))
            {
                for (var times = random.Next(1, 3); times > 0; times--)
                {
                    calls.Add(() => shard.Send(batch));
                }
            }

            // Others bring what they know of: of the writes of a user in one batch perhaps only the first, and the rest later.
            foreach (var batch in batches)
            {
                foreach (var write in batch.Writes)
                {
                    calls.Insert(random.Next(calls.Count + 1), () => shard.SendAlone(batch.Id, write));
                    calls.Add(() => shard.SendAlone(batch.Id, write));
                }
            }

            foreach (var call in calls)
            {
                call();
                if (random.Next(3) == 0)
                {
                    shard.Store();
                }
            }

            foreach (var batch in batches)
            {
                foreach (var write in batch.Writes)
                {
                    Assert.True(shard.TimesOf(batch.Id, write) == 1, $"{write} of {batch.Id.Number} counted {shard.TimesOf(batch.Id, write)} times, seed {seed}");
                }
            }
        }
    }

    [Fact]
    public void What_a_ledger_has_forgotten_counts_no_more_and_what_comes_before_that_counts_once()
    {
        for (var round = 0; round < 300; round++)
        {
            var seed = Random.Shared.Next();
            var random = new Random(seed);
            var (shard, time) = (new Shard(), new ManualTime());
            var known = new List<(Sent Batch, long Began, Dictionary<Write, bool> InTime)>();
            for (var day = 0; day < 200; day++)
            {
                time.Advance(TimeSpan.FromDays(1));
                if (random.Next(4) == 0)
                {
                    known.Add((new(new(Incarnation.New(time), 1), Writes(random), Users(random)), time.GetUtcNow().ToUnixTimeMilliseconds(), []));
                }

                // Whatever was ever sent may be sent again, months later.
                foreach (var (batch, began, inTime) in known.Where(_ => random.Next(20) == 0))
                {
                    var remembered = time.GetUtcNow().ToUnixTimeMilliseconds() - began <= CountLedger.Remembered.TotalMilliseconds;
                    if (random.Next(2) == 0)
                    {
                        shard.Send(batch);
                        batch.Travelling.ForEach(write => inTime[write] = inTime.GetValueOrDefault(write) || remembered);
                    }

                    foreach (var write in batch.Writes.Where(_ => random.Next(2) == 0))
                    {
                        shard.SendAlone(batch.Id, write);
                        inTime[write] = inTime.GetValueOrDefault(write) || remembered;
                    }
                }

                shard.Store();
                if (random.Next(5) == 0)
                {
                    shard.Ledger.Forget(time.GetUtcNow());
                    var horizon = (time.GetUtcNow() - CountLedger.Remembered).ToUnixTimeMilliseconds();
                    Assert.All(shard.Ledger.Counted.Keys.Concat(shard.Ledger.Closed), one => Assert.True(Incarnation.Began(one) >= horizon));
                    Assert.All(shard.Ledger.Alone.Concat(shard.Ledger.LeftOut), key => Assert.True(Incarnation.Began(UserOfBatch.IncarnationOf(key)) >= horizon));
                }
            }

            foreach (var (batch, _, inTime) in known)
            {
                foreach (var (write, wasInTime) in inTime)
                {
                    var times = shard.TimesOf(batch.Id, write);
                    Assert.True(times == 1 || (times == 0 && !wasInTime), $"{write} counted {times} times, in time {wasInTime}, seed {seed}");
                }
            }
        }
    }

    [Fact]
    public void Incarnation_tells_when_it_began_and_those_of_version_0_1_are_never_forgotten()
    {
        var time = new ManualTime();
        Assert.Equal(time.GetUtcNow().ToUnixTimeMilliseconds(), Incarnation.Began(Incarnation.New(time)));

        var ledger = new CountLedger();
        var earlier = new CountBatch(Guid.NewGuid(), 3);
        ledger.Note(earlier, []);
        ledger.Forget(DateTimeOffset.MaxValue);
        Assert.Equal(CountDecision.Known, ledger.Decide(earlier));
        Assert.Equal(CountDecision.Count, ledger.Decide(earlier with { Number = 4 }));
    }

    private static HashSet<string> Users(Random random) => [.. Enumerable.Range(0, random.Next(3)).Select(_ => $"u{random.Next(5)}")];

    private static List<Write> Writes(Random random) =>
        [.. Enumerable.Range(0, random.Next(6)).Select(_ => new Write($"u{random.Next(5)}", random.Next(3))).Distinct()];

    private sealed record Sent(CountBatch Id, List<Write> Writes, HashSet<string> LeftOut)
    {
        public List<Write> Travelling => Writes.FindAll(write => !LeftOut.Contains(write.User));
    }

    private readonly record struct Write(string User, long Version);

    /// <summary>A shard that does what its ledger says, with an addition for the calls of each write, which is stored.</summary>
    private sealed class Shard
    {
        private readonly Dictionary<(CountBatch, Write), int> _counted = [];
        private CountLedger _addition;

        public Shard() => _addition = Ledger.Addition();

        public CountLedger Ledger { get; } = new();

        public int TimesOf(CountBatch batch, Write write) => _counted.GetValueOrDefault((batch, write));

        public void Store()
        {
            Ledger.Add(Serializer.Deserialize<CountLedger>(Serializer.Serialize(_addition))!);
            _addition = Ledger.Addition();
        }

        public void Send(Sent batch)
        {
            switch (_addition.Decide(batch.Id))
            {
                case CountDecision.Count:
                    _addition.Note(batch.Id, batch.LeftOut);
                    batch.Travelling.ForEach(write => Count(batch.Id, write));
                    break;
                case CountDecision.Refuse:
                    batch.Travelling.ForEach(write => SendAlone(batch.Id, write));
                    break;
            }
        }

        public void SendAlone(CountBatch batch, Write write)
        {
            var part = new UserOfBatch(batch, write.User, write.Version);
            if (_addition.DecideAlone(part) == CountDecision.Count)
            {
                _addition.NoteAlone(part);
                Count(batch, write);
            }
        }

        private void Count(CountBatch batch, Write write) => _counted[(batch, write)] = TimesOf(batch, write) + 1;
    }
}
