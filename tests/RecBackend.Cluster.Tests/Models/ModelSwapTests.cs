using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Cluster.Tests.Silo;
using RecBackend.Server.Tests.Hosting;
using Xunit.Abstractions;

namespace RecBackend.Cluster.Tests.Models;

/// <summary>Three silos and a gateway as processes, under rankings, while their model is changed.</summary>
[Collection(BackingCollection.Name)]
public sealed class ModelSwapTests(Backing backing, ITestOutputHelper output)
{
    private const int Users = 12;
    private const int Items = 40;
    private const int Rankers = 4;
    private const int Rounds = 2;
    private const double Tolerance = 1e-5;
    private static readonly string[] Versions = ["one", "two", "three"];

    /// <summary>What each model alone gives each user, by item.</summary>
    private readonly Dictionary<(string Version, int User), Dictionary<string, double>> _expected = [];
    private readonly ConcurrentDictionary<string, int> _answers = new();
    private readonly ConcurrentQueue<string> _failures = new();

    [Fact]
    public async Task Model_swap_under_load_fails_no_request_and_mixes_no_score()
    {
        var cluster = $"t{Guid.NewGuid():n}";
        using var states = new StateFolder();
        var silos = Enumerable.Range(0, 3).Select(silo => SiloProcess.Start(backing, cluster, Path.Combine(states.Path, $"{silo}"))).ToList();
        try
        {
            await Task.WhenAll(silos.Select(TinyModel.ListeningAsync));
            foreach (var (turn, version) in Versions.Index())
            {
                await TinyModel.PushAsync(silos[0], TinyModel.Turned(version, turn));
            }

            await ChangeAsync(silos[0], "one/activate");
            await TinyModel.LoadItemsAsync(silos[0]);
            await LoadEventsAsync(silos[0]);
            await Task.WhenAll(silos.Select(silo => silo.ReadyAsync()));
            await CountedAsync(silos[0]);
            foreach (var version in Versions)
            {
                await ChangeAsync(silos[0], $"{version}/activate");
                await ExpectAsync(silos, version);
            }

            AssertModelsDiffer();
            await using var gateway = await ChildProcess.Start(Checkout.Gateway, _ =>
                ["--RecBackend:Development", "true", .. silos.SelectMany((silo, place) => new[] { $"--RecBackend:Gateway:Cluster:Seeds:{place}", silo.Address.ToString() })]).ReadyAsync();
            using var stop = new CancellationTokenSource();
            var load = Enumerable.Range(0, Rankers).Select(ranker => Task.Run(() => RankAsync(gateway, ranker, stop.Token))).ToList();
            var spreads = new List<double>();
            for (var round = 0; round < Rounds; round++)
            {
                // The first two load and encode a bundle; the others return to one that is loaded.
                foreach (var change in new[] { "one/activate", "two/activate", "two/rollback", "two/activate", "three/activate", "three/rollback" })
                {
                    await ChangeAsync(gateway, change);
                    spreads.Add(await SpreadAsync(silos));
                    await AnsweredAsync(_answers.Values.Sum() + 50);
                }
            }

            await stop.CancelAsync();
            await Task.WhenAll(load);
            output.WriteLine($"{spreads.Count} changes of the model; first to last silo {spreads.Average():0} ms on average, {spreads.Max():0} ms at most");
            output.WriteLine($"rankings: {string.Join(", ", _answers.Select(one => $"{one.Value} by {one.Key}"))}; {_failures.Count} failed");
            Assert.Empty(_failures.Distinct().Take(5));
            Assert.Equal(Versions.Order(), _answers.Keys.Order());
        }
        finally
        {
            foreach (var silo in silos)
            {
                await silo.DisposeAsync();
            }
        }
    }

    private static async Task ChangeAsync(ChildProcess host, string change)
    {
        using var response = await host.Client.PostAsync($"/v1/models/{change}?wait=true", null);
        Assert.True(response.IsSuccessStatusCode, $"{change}: {await response.Content.ReadAsStringAsync()}");
    }

    private static async Task LoadEventsAsync(ChildProcess silo)
    {
        var events = Enumerable.Range(0, Users * 5).Select(number =>
            $$"""{"event_id":"e{{number}}","type":"{{(number % 3 == 0 ? "click" : "impression")}}","user":"u{{number % Users}}","item":"{{Item(1 + (number * 7 % Items))}}","timestamp":{{1_700_000_000 + number}}}""");
        var body = $"[{string.Join(',', events)}]";
        for (var tries = 0; ; tries++)
        {
            using var response = await silo.Client.PostAsync("/v1/events", Json(body));
            var text = await response.Content.ReadAsStringAsync();
            if (response.IsSuccessStatusCode && JsonNode.Parse(text)!["rejected"]!.AsArray().Count == 0)
            {
                return;
            }

            // A busy machine may let a write time out; none counts twice.
            Assert.True(tries < 10, text);
        }
    }

    /// <summary>Waits until every event has reached its item, and every item the catalogue of each silo: from then on scores stay.</summary>
    private static async Task CountedAsync(ChildProcess silo)
    {
        var state = "";
        for (var tries = 0; tries < 300; tries++)
        {
            var counted = 0;
            for (var item = 1; item <= Items; item++)
            {
                var counters = JsonNode.Parse(await silo.Client.GetStringAsync($"/v1/items/{Item(item)}"))!;
                counted += (int)counters["clicks"]! + (int)counters["impressions"]!;
            }

            var cluster = JsonNode.Parse(await silo.Client.GetStringAsync("/v1/cluster?items=true"))!;
            var digest = (string)cluster["items"]!["digest"]!;
            if (counted == Users * 5 && cluster["silos"]!.AsArray().All(one => (string?)one!["catalog_digest"] == digest))
            {
                return;
            }

            state = $"{counted} of {Users * 5} events are counted; {cluster.ToJsonString()}";
            await Task.Delay(100);
        }

        Assert.Fail(state);
    }

    /// <summary>Takes the scores of a model while it is the only one that answers.</summary>
    private async Task ExpectAsync(List<ChildProcess> silos, string version)
    {
        for (var tries = 0; ; tries++)
        {
            var agree = true;
            for (var user = 0; user < Users; user++)
            {
                var scores = await Task.WhenAll(silos.Select(async silo => Scores((await RankAsync(silo, user)).Reply)));
                agree &= scores.All(other => Equal(other, scores[0]))
                    && (!_expected.TryGetValue((version, user), out var before) || Equal(before, scores[0]));
                _expected[(version, user)] = scores[0];
            }

            // Twice the same: nothing moves any more.
            if (agree && tries > 0)
            {
                return;
            }

            Assert.InRange(tries, 0, 100);
            await Task.Delay(200);
        }
    }

    /// <summary>Every two models give every user other scores, but for a few that are alike by chance: else a mix of them would not be seen.</summary>
    private void AssertModelsDiffer()
    {
        for (var user = 0; user < Users; user++)
        {
            foreach (var (a, b) in new[] { ("one", "two"), ("one", "three"), ("two", "three") })
            {
                var (first, second) = (_expected[(a, user)], _expected[(b, user)]);
                var alike = first.Where(score => Math.Abs(score.Value - second[score.Key]) < 10 * Tolerance).Select(score => score.Key).ToList();
                Assert.True(alike.Count <= Items / 10, $"{a} and {b} give u{user} the same for {string.Join(", ", alike)}.");
            }
        }
    }

    private async Task RankAsync(ChildProcess gateway, int ranker, CancellationToken stop)
    {
        for (var number = ranker; !stop.IsCancellationRequested; number++)
        {
            try
            {
                var user = number % Users;
                var (status, reply) = await RankAsync(gateway, user);
                var version = (string?)reply["model"];
                if (status != 200 || (string?)reply["mode"] != "model" || version is null || !Equal(_expected[(version, user)], Scores(reply)))
                {
                    _failures.Enqueue($"{status} {reply.ToJsonString()}");
                }
                else
                {
                    _answers.AddOrUpdate(version, 1, (_, count) => count + 1);
                }
            }
            catch (HttpRequestException error)
            {
                _failures.Enqueue(error.Message);
            }
        }
    }

    private static async Task<(int Status, JsonNode Reply)> RankAsync(ChildProcess host, int user)
    {
        var items = string.Join(',', Enumerable.Range(1, Items).Select(item => $"\"{Item(item)}\""));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/rank");
        request.Content = Json($$$"""{"user":"u{{{user}}}","items":[{{{items}}}],"context":{"timestamp":1700001000}}""");

        // A slow moment of the machine must not bring the fallback in.
        request.Headers.Add("Request-Timeout-Ms", "10000");
        using var response = await host.Client.SendAsync(request);
        return ((int)response.StatusCode, JsonNode.Parse(await response.Content.ReadAsStringAsync())!);
    }

    /// <summary>Waits for rankings.</summary>
    private async Task AnsweredAsync(int count)
    {
        for (var tries = 0; tries < 600 && _answers.Values.Sum() < count && _failures.IsEmpty; tries++)
        {
            await Task.Delay(50);
        }
    }

    /// <summary>Milliseconds between the first and the last silo that switched. They share a clock.</summary>
    private static async Task<double> SpreadAsync(List<ChildProcess> silos)
    {
        var view = JsonNode.Parse(await silos[0].Client.GetStringAsync("/v1/cluster"))!["silos"]!.AsArray();
        Assert.Single(view.Select(silo => (string?)silo!["model"]).Distinct());
        var times = view.Select(silo => DateTimeOffset.Parse((string)silo!["activated_at"]!, CultureInfo.InvariantCulture)).ToList();
        return (times.Max() - times.Min()).TotalMilliseconds;
    }

    private static Dictionary<string, double> Scores(JsonNode reply) =>
        reply["items"]?.AsArray().ToDictionary(item => (string)item!["id"]!, item => (double)item!["score"]!) ?? [];

    private static bool Equal(Dictionary<string, double> one, Dictionary<string, double> other) =>
        one.Count == Items && other.Count == Items && one.All(score => other.TryGetValue(score.Key, out var same) && Math.Abs(score.Value - same) <= Tolerance);

    private static string Item(int number) => string.Create(CultureInfo.InvariantCulture, $"i{number:00}");

    private static StringContent Json(string body) => new(body, Encoding.UTF8, "application/json");
}
