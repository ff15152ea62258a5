using System.Globalization;
using RecBackend.Bench.DataSets;
using RecBackend.Bench.Engines;
using RecBackend.Bench.Measuring;

namespace RecBackend.Bench.Curves;

/// <summary>Cost over the number of users that are asked for at random, all of them encoded once before.</summary>
internal static class UserCurve
{
    private const int Candidates = 100;
    private const int Events = 5;

    public static async Task<Curve> MeasureAsync(BenchEngine engine, DataSet data, CurvesOptions options, CancellationToken cancellation)
    {
        var most = options.Users.Max();
        var users = await HistoryCurve.UsersAsync(engine, data, "of-many", most, Events, options.Seed, cancellation);
        var all = new RankRequests(data, Candidates, users);
        var progress = new ProgressLines("encoding users", most);
        for (var i = 0; i < most; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            all.Prepare(i);
            all.Done(await engine.Ranker.RankAsync(all.Request, cancellation));
            progress.At(i);
        }

        progress.Done();
        var turns = options.Users.Select(count => Random(engine, data, users[..count], options.Seed)).ToList();
        var samples = await Turns.MeasureAsync("users", turns, options.Requests, cancellation);
        return new Curve("users", string.Create(CultureInfo.InvariantCulture, $"{Candidates} candidates by number of users"), "users",
        [
            new CurveSeries("random user", [.. options.Users.Select((x, i) => CurvePoint.Of(x, samples[i]))]),
        ]);
    }

    private static Turn Random(BenchEngine engine, DataSet data, string[] users, int seed)
    {
        var random = new Random(seed);
        var requests = new RankRequests(data, Candidates, users);
        return new Turn(_ => requests.Prepare(random.Next(users.Length)), async () => requests.Done(await engine.Ranker.RankAsync(requests.Request, CancellationToken.None)));
    }
}
