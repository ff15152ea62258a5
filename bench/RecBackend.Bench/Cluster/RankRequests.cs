using System.Globalization;
using System.Net;
using System.Text;
using RecBackend.Bench.Processes;

namespace RecBackend.Bench.Cluster;

/// <summary>Ready requests for rankings of random distinct items for random users, the same ones in every run.</summary>
internal static class RankRequests
{
    /// <summary>How many users they are for.</summary>
    public const int Users = 200;

    private const int Distinct = 200;

    /// <summary>ID of the user of a number.</summary>
    public static string User(int number) => string.Create(CultureInfo.InvariantCulture, $"ranked-{number}");

    /// <param name="endpoint">Who is asked.</param>
    /// <param name="candidates">Candidates of each.</param>
    /// <param name="items">How many items there are.</param>
    public static byte[][] Create(IPEndPoint endpoint, int candidates, int items)
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, Distinct).Select(number =>
        {
            var chosen = new HashSet<int>();
            while (chosen.Count < candidates)
            {
                chosen.Add(random.Next(items));
            }

            var list = string.Join(',', chosen.Select(item => $"\"{SyntheticItems.Id(item)}\""));
            return KeepAliveConnection.Post(endpoint, "/v1/rank", Encoding.UTF8.GetBytes($$"""{"user":"{{User(number % Users)}}","items":[{{list}}]}"""));
        })];
    }
}
