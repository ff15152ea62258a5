using System.Text;
using RecBackend.Core.Catalog;
using RecBackend.Core.Items;
using RecBackend.Core.Ranking;
using Xunit.Abstractions;

namespace RecBackend.Core.Tests.Catalog;

public class ItemCatalogStressTests(ITestOutputHelper output)
{
    // As 16-bit floats represent them exactly.
    private const int Ids = 2_000;
    private const int Values = 2_000;

    /// <summary>
    /// Every row that a writer writes says to whom it belongs, all of its floats agree, and its counters agree with each other and with the statistics.
    /// Few rows for many deletions and insertions, so rows change their owners all the time, while new IDs make the catalogue grow.
    /// </summary>
    [Theory]
    [InlineData(RowPrecision.Single)]
    [InlineData(RowPrecision.Half)]
    public async Task Reader_never_sees_half_of_an_update(RowPrecision precision)
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var layout = FakeModel.LayoutOf("bundle-1") with { ItemId = 32, Representation = 64 };
        var catalog = new ItemCatalog(layout, precision);
        byte[][] ids = [.. Enumerable.Range(0, Ids).Select(id => Encoding.UTF8.GetBytes($"item {id}"))];
        var rounds = 0L;
        var writing = true;

        // Threads of their own, and one start: on the pool of a small machine the writers could be done before a reader got a thread.
        using var start = new Barrier(4);
        var writers = Enumerable.Range(0, 2).Select(writer => OnThread(() =>
        {
            start.SignalAndWait();
            var random = new Random(seed + writer);
            var vectors = new float[catalog.VectorWidth];
            for (var round = 0; round < 60_000; round++)
            {
                // Half of the writes fall on a handful of IDs, where readers look most.
                var id = random.Next(random.Next(2) == 0 ? 8 : Ids);
                var version = Interlocked.Increment(ref rounds);
                var impressions = random.Next(1_000_000);
                switch (random.Next(4))
                {
                    case 0:
                        catalog.Delete(ids[id], version);
                        break;
                    case 1:
                        catalog.UpdateCounters(ids[id], version, new(impressions, 3L * impressions, -impressions));
                        break;
                    default:
                        vectors.AsSpan().Fill(random.Next(Values));
                        vectors[0] = id;
                        catalog.Put(ids[id], version, vectors, cold: vectors[1] % 2 == 0, new(impressions, 3L * impressions, -impressions));
                        break;
                }
            }

            return rounds;
        })).ToArray();

        var readers = Enumerable.Range(0, 2).Select(reader => OnThread(() =>
        {
            start.SignalAndWait();
            var random = new Random(~seed + reader);
            var candidates = new CandidateList();
            var rows = new CandidateRows();
            var vectors = new float[catalog.VectorWidth];
            var seen = 0L;
            while (Volatile.Read(ref writing))
            {
                candidates.Clear();
                for (var i = 0; i < 40; i++)
                {
                    candidates.Add(ids[random.Next(i < 20 ? 8 : Ids)]);
                }

                catalog.Gather(candidates, time: 0, rows);
                for (var row = 0; row < rows.Count; row++)
                {
                    var floats = rows.Rows.AsSpan(row * catalog.RowWidth, catalog.VectorWidth);
                    CheckVectors(floats, NumberOf(candidates[rows.Places[row]]), rows.Cold[row]);
                    CheckCounters(rows.Counters[row], rows.Statistics(row)[0]);
                }

                var one = random.Next(8);
                if (catalog.TryGetRow(ids[one], vectors))
                {
                    CheckVectors(vectors, one, cold: vectors[1] % 2 == 0);
                }

                seen += rows.Count;
            }

            return seen;
        })).ToArray();

        await Task.WhenAll(writers);
        Volatile.Write(ref writing, false);
        var read = await Task.WhenAll(readers);
        output.WriteLine($"{rounds} writes, {read.Sum()} rows read");
        Assert.All(read, count => Assert.True(count > 0));
    }

    private static Task<long> OnThread(Func<long> work) =>
        Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static int NumberOf(ReadOnlySpan<byte> id) => int.Parse(id[5..], System.Globalization.CultureInfo.InvariantCulture);

    private static void CheckVectors(ReadOnlySpan<float> floats, int id, bool cold)
    {
        if (floats[0] != id)
        {
            Assert.Fail($"The row of item {id} is that of item {floats[0]}.");
        }

        if (floats[1..].ContainsAnyExcept(floats[1]) || cold != (floats[1] % 2 == 0))
        {
            Assert.Fail($"The row of item {id} is torn: {string.Join(' ', floats.ToArray())}");
        }
    }

    private static void CheckCounters(in ItemCounters counters, float statistic)
    {
        var expected = counters.FirstSeen == ItemCounters.NeverSeen ? ItemCounters.None : new(counters.Impressions, 3 * counters.Impressions, -counters.Impressions);
        if (counters != expected || statistic != (float)Math.Log(1.0 + counters.Impressions))
        {
            Assert.Fail($"Counters are torn: {counters}, statistic {statistic}");
        }
    }
}
