using System.Globalization;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;
using RecBackend.Core.Ranking;
using RecBackend.Core.Users;

namespace RecBackend.Bench.Curves;

/// <summary>Cost over the length of the user's history: the first ranking after an event, which encodes the user, and those after it, which find the encoding.</summary>
internal static class HistoryCurve
{
    private const int Candidates = 500;

    public static async Task<Curve> MeasureAsync(BenchEngine engine, DataSet data, CurvesOptions options, CancellationToken cancellation)
    {
        var turns = new List<Turn>();
        foreach (var length in options.History)
        {
            // A user for each turn, since a user is encoded but once.
            var turnsOfEach = options.Requests + (options.Requests / 2);
            var users = await UsersAsync(engine, data, string.Create(CultureInfo.InvariantCulture, $"history-{length}"), turnsOfEach, length, options.Seed, cancellation);
            turns.Add(Rank(engine, data, users));
            turns.Add(Rank(engine, data, users));
        }

        var samples = await Turns.MeasureAsync("history", turns, options.Requests, cancellation);
        return new Curve("history", string.Create(CultureInfo.InvariantCulture, $"{Candidates} candidates by length of the history (the bundle reads {engine.Layout.History})"), "events of the history",
        [
            new CurveSeries("user to be encoded", [.. options.History.Select((x, i) => CurvePoint.Of(x, samples[2 * i]))]),
            new CurveSeries("encoding cached", [.. options.History.Select((x, i) => CurvePoint.Of(x, samples[(2 * i) + 1]))]),
        ]);
    }

    /// <summary>Makes users with histories of random items.</summary>
    /// <returns>Their IDs.</returns>
    public static async Task<string[]> UsersAsync(BenchEngine engine, DataSet data, string name, int count, int length, int seed, CancellationToken cancellation)
    {
        var random = new Random(seed);
        var users = Enumerable.Range(0, count).Select(i => string.Create(CultureInfo.InvariantCulture, $"{name}-{i}")).ToArray();
        var events = users.SelectMany(user => Enumerable.Range(0, length).Select(i => new InteractionEvent(
            string.Create(CultureInfo.InvariantCulture, $"{user}-{i}"), InteractionEvent.Click, user, data.Items[random.Next(data.Items.Count)].Id, 1_600_000_000_000 + (i * 60_000L), null)));
        foreach (var batch in events.Chunk(2_000))
        {
            var receipt = await engine.Users.AppendAsync(batch, cancellation);
            if (receipt.Rejected.Count > 0)
            {
                throw new InvalidOperationException($"An event was rejected: {receipt.Rejected[0]}");
            }
        }

        return users;
    }

    private static Turn Rank(BenchEngine engine, DataSet data, string[] users)
    {
        var workload = new RankRequests(data, Candidates, users);
        return new Turn(i => workload.Prepare(i), async () => workload.Done(await engine.Ranker.RankAsync(workload.Request, CancellationToken.None)));
    }
}

/// <summary>The same random candidates for one user after the other; an answer is checked before the next request.</summary>
internal sealed class RankRequests
{
    private readonly string[] _users;
    private Ranking? _last;

    public RankRequests(DataSet data, int candidates, string[] users)
    {
        _users = users;
        var random = new Random(1);
        foreach (var item in Enumerable.Range(0, data.Items.Count).OrderBy(_ => random.Next()).Take(candidates))
        {
            Request.Candidates.Add(System.Text.Encoding.UTF8.GetBytes(data.Items[item].Id));
        }
    }

    /// <summary>The request of this turn.</summary>
    public RankRequest Request { get; } = new();

    /// <summary>Makes the request that of the user at <paramref name="place"/>.</summary>
    public void Prepare(int place)
    {
        using var ranking = _last;
        if (ranking is not null && ranking.Mode != RankingMode.Model)
        {
            throw new InvalidOperationException($"A ranking was by {ranking.Mode} ({ranking.Reason}), not by the model.");
        }

        Request.User = _users[place % _users.Length];
    }

    /// <summary>Keeps the answer to be checked.</summary>
    public void Done(Ranking ranking) => _last = ranking;
}
