using System.Buffers;
using System.Text;
using System.Text.Json;
using RecBackend.Bench.DataSets;
using RecBackend.Core.Ranking;

namespace RecBackend.Bench.Rank;

/// <summary>The requests of a measurement, the same for every way to rank: random users of the data's events, random distinct candidates of its items, from a seed.</summary>
internal sealed class RankWorkload
{
    private readonly (string User, byte[][] Candidates)[] _requests;
    private readonly int _limit;

    public RankWorkload(DataSet data, int candidates, int requests, int limit, int seed)
    {
        var random = new Random(seed);
        var users = data.Impressions.Select(x => x.User).Distinct().ToArray();
        var items = data.Items.Select(x => Encoding.UTF8.GetBytes(x.Id)).ToArray();
        _limit = limit;
        _requests = new (string, byte[][])[requests];
        for (var i = 0; i < requests; i++)
        {
            // The first places of a shuffle: distinct candidates, since a repeated one is ranked once.
            for (var place = 0; place < candidates; place++)
            {
                var other = random.Next(place, items.Length);
                (items[place], items[other]) = (items[other], items[place]);
            }

            _requests[i] = (users[random.Next(users.Length)], items[..candidates]);
        }
    }

    public int Count => _requests.Length;

    /// <summary>Makes <paramref name="request"/> the one at <paramref name="index"/>.</summary>
    public void Fill(RankRequest request, int index)
    {
        var (user, candidates) = _requests[index];
        request.Clear();
        request.User = user;
        request.Limit = _limit;
        foreach (var candidate in candidates)
        {
            request.Candidates.Add(candidate);
        }
    }

    /// <summary>The body of the request at <paramref name="index"/>.</summary>
    public byte[] Json(int index)
    {
        var (user, candidates) = _requests[index];
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("user", user);
            json.WriteStartArray("items");
            foreach (var candidate in candidates)
            {
                json.WriteStringValue(candidate);
            }

            json.WriteEndArray();
            if (_limit > 0)
            {
                json.WriteNumber("limit", _limit);
            }

            json.WriteEndObject();
        }

        return buffer.WrittenSpan.ToArray();
    }
}
