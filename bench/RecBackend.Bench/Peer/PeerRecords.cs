using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Rank;
using RecBackend.Core.Ranking;

namespace RecBackend.Bench.Peer;

/// <summary>
/// What the peer keeps in Redis, as this engine hands it to the ranker: of each item its row, age as of today, and one byte that says whether it is cold; of each user the second of the newest
/// event (float64, NaN for none), <c>user_state</c> and <c>history_state</c>. 32-bit floats, little-endian.
/// </summary>
internal static class PeerRecords
{
    // A request's limit of candidates.
    private const int Batch = 5_000;

    /// <summary>Writes the records of a data set's items and of the users in its events.</summary>
    public static async Task WriteAsync(string file, BenchEngine engine, DataSet data, CancellationToken cancellation)
    {
        await using var output = File.Create(file);
        var users = data.Impressions.Select(x => x.User).Distinct().ToArray();
        var recorded = new List<RankTensors>();
        engine.Recording = recorded;
        foreach (var items in data.Items.Select(x => x.Id).Chunk(Batch))
        {
            var cold = await RankAsync(engine, users[0], items, cancellation);
            var rows = recorded[^1].Rows;
            for (var i = 0; i < items.Length; i++)
            {
                var row = rows.AsSpan(i * engine.Layout.Row, engine.Layout.Row);
                Write(output, "i:" + items[i], [.. MemoryMarshal.AsBytes(row), (byte)(cold[i] ? 1 : 0)]);
            }
        }

        foreach (var user in users)
        {
            await RankAsync(engine, user, [data.Items[0].Id], cancellation);
            var newest = await engine.NewestEventAsync(user, cancellation) is { } milliseconds ? milliseconds / 1e3 : double.NaN;
            var head = new byte[sizeof(double)];
            BinaryPrimitives.WriteDoubleLittleEndian(head, newest);
            Write(output, "u:" + user, [.. head, .. MemoryMarshal.AsBytes(recorded[^1].UserState.AsSpan()), .. MemoryMarshal.AsBytes(recorded[^1].HistoryState.AsSpan())]);
            recorded.Clear();
        }

        engine.Recording = null;
    }

    /// <summary>One record: key length (uint16), key, value length (uint32), value.</summary>
    internal static void Write(Stream output, string key, ReadOnlySpan<byte> value)
    {
        var bytes = Encoding.UTF8.GetBytes(key);
        Span<byte> length = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt16LittleEndian(length, (ushort)bytes.Length);
        output.Write(length[..sizeof(ushort)]);
        output.Write(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(length, (uint)value.Length);
        output.Write(length);
        output.Write(value);
    }

    /// <returns>Of each item whether it is cold.</returns>
    private static async Task<bool[]> RankAsync(BenchEngine engine, string user, string[] items, CancellationToken cancellation)
    {
        var request = new RankRequest { User = user };
        foreach (var item in items)
        {
            request.Candidates.Add(Encoding.UTF8.GetBytes(item));
        }

        using var ranking = await engine.Ranker.RankAsync(request, cancellation);
        if (ranking.Mode != RankingMode.Model || ranking.Items.Length != items.Length)
        {
            throw new InvalidOperationException($"{ranking.Items.Length} of {items.Length} items were ranked, by {ranking.Mode}: rows of the others are not to be had.");
        }

        var cold = new bool[items.Length];
        foreach (ref readonly var item in ranking.Items)
        {
            cold[item.Candidate] = item.Cold;
        }

        return cold;
    }
}
