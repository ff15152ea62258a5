using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Cluster.Tests.Silo;
using RecBackend.Server.Tests.Hosting;
using Xunit.Abstractions;

namespace RecBackend.Cluster.Tests.Faults;

/// <summary>Three silos and a gateway as processes, under load, of which one after the other is killed.</summary>
[Collection(BackingCollection.Name)]
public sealed class KillTests(Backing backing, ITestOutputHelper output)
{
    private const int Silos = 3;
    private const int Users = 40;
    private const int Writers = 6;
    private const int Rankers = 3;
    private const int EventsBetweenKills = 1_500;

    private readonly ConcurrentDictionary<string, (string User, string Item)> _acknowledged = new();
    private readonly ConcurrentQueue<string> _failures = new();
    private int _rankings;

    [Fact]
    public async Task Every_acknowledged_event_counts_once_whichever_silo_is_killed()
    {
        var cluster = $"t{Guid.NewGuid():n}";
        using var states = new Folders(Silos);
        var silos = new ChildProcess[Silos];
        for (var silo = 0; silo < Silos; silo++)
        {
            silos[silo] = SiloProcess.Start(backing, cluster, states[silo], "entity", "scoring");
            await TinyModel.ActivateAsync(silos[silo]);
            await silos[silo].ReadyAsync();
        }

        await TinyModel.LoadItemsAsync(silos[0]);
        await using var gateway = await ChildProcess.Start(Checkout.Gateway, _ =>
            ["--RecBackend:Development", "true", .. silos.SelectMany((silo, place) => new[] { $"--RecBackend:Gateway:Cluster:Seeds:{place}", silo.Address.ToString() })]).ReadyAsync();
        try
        {
            using var stop = new CancellationTokenSource();
            var load = Enumerable.Range(0, Writers).Select(writer => Task.Run(() => WriteAsync(gateway, writer, stop.Token)))
                .Concat(Enumerable.Range(0, Rankers).Select(ranker => Task.Run(() => RankAsync(gateway, ranker, stop.Token))))
                .ToList();
            for (var victim = 0; victim < Silos; victim++)
            {
                await AcknowledgedAsync(_acknowledged.Count + EventsBetweenKills);
                await silos[victim].KillAsync();
                await AcknowledgedAsync(_acknowledged.Count + EventsBetweenKills);

                // At the same address, as a pod that is started again has the name of the one before.
                await silos[victim].DisposeAsync();
                silos[victim] = await SiloProcess.Start(backing, cluster, states[victim], "entity", "scoring").ReadyAsync();
            }

            await AcknowledgedAsync(_acknowledged.Count + EventsBetweenKills);
            await stop.CancelAsync();
            await Task.WhenAll(load);
            output.WriteLine($"{_acknowledged.Count} events acknowledged, {_rankings} rankings, {_failures.Count} failed: {string.Join("; ", _failures.Distinct().Take(5))}");
            Assert.InRange(_failures.Count, 0, Math.Max(1, _rankings / 1_000));

            foreach (var silo in silos)
            {
                await AssertCountsAsync(silo);
            }
        }
        finally
        {
            foreach (var silo in silos)
            {
                await silo.DisposeAsync();
            }
        }
    }

    /// <summary>Sends events one by one, each again and again until it is acknowledged.</summary>
    private async Task WriteAsync(ChildProcess gateway, int writer, CancellationToken stop)
    {
        for (var number = 0; !stop.IsCancellationRequested; number++)
        {
            var (id, user, item) = ($"e{writer}-{number}", $"u{number % Users}", string.Create(CultureInfo.InvariantCulture, $"i{1 + (number % 20):00}"));
            var body = $$"""{"event_id":"{{id}}","type":"click","user":"{{user}}","item":"{{item}}","timestamp":1700000000}""";
            for (var tries = 0; ; tries++)
            {
                Assert.InRange(tries, 0, 300);
                try
                {
                    using var response = await gateway.Client.PostAsync("/v1/events", Json(body), CancellationToken.None);
                    if (response.IsSuccessStatusCode)
                    {
                        Assert.Empty(JsonNode.Parse(await response.Content.ReadAsStringAsync(CancellationToken.None))!["rejected"]!.AsArray());
                        _acknowledged[id] = (user, item);
                        break;
                    }
                }
                catch (HttpRequestException)
                {
                    // The gateway itself lives: this is a connection that it broke.
                }

                await Task.Delay(100, CancellationToken.None);
            }
        }
    }

    private async Task RankAsync(ChildProcess gateway, int ranker, CancellationToken stop)
    {
        var items = string.Join(',', Enumerable.Range(1, 20).Select(item => string.Create(CultureInfo.InvariantCulture, $"\"i{item:00}\"")));
        for (var number = 0; !stop.IsCancellationRequested; number++)
        {
            Interlocked.Increment(ref _rankings);
            try
            {
                using var response = await gateway.Client.PostAsync("/v1/rank", Json($$"""{"user":"u{{(number + ranker) % Users}}","items":[{{items}}]}"""), CancellationToken.None);
                var text = await response.Content.ReadAsStringAsync(CancellationToken.None);
                if (!response.IsSuccessStatusCode)
                {
                    _failures.Enqueue($"{(int)response.StatusCode} {text}");
                }
                else if (JsonNode.Parse(text)!["items"]!.AsArray().Count != 20)
                {
                    _failures.Enqueue($"not all ranked: {text}");
                }
            }
            catch (HttpRequestException error)
            {
                _failures.Enqueue(error.Message);
            }
        }
    }

    private async Task AcknowledgedAsync(int count)
    {
        for (var tries = 0; tries < 1_200 && _acknowledged.Count < count; tries++)
        {
            await Task.Delay(100);
        }

        Assert.True(_acknowledged.Count >= count, $"Only {_acknowledged.Count} events were acknowledged after two minutes, not {count}.");
    }

    private async Task AssertCountsAsync(ChildProcess silo)
    {
        foreach (var user in _acknowledged.Values.GroupBy(one => one.User))
        {
            Assert.Equal(user.Count(), (int)(await GetAsync(silo, $"/v1/users/{user.Key}"))["clicks"]!);
        }

        // Counts of items may be on their way for a second, and longer where a silo died with them.
        foreach (var item in _acknowledged.Values.GroupBy(one => one.Item))
        {
            var clicks = -1;
            for (var tries = 0; tries < 200 && clicks != item.Count(); tries++)
            {
                await Task.Delay(tries == 0 ? 0 : 100);
                clicks = (int)(await GetAsync(silo, $"/v1/items/{item.Key}"))["clicks"]!;
            }

            Assert.Equal(item.Count(), clicks);
        }
    }

    private static async Task<JsonNode> GetAsync(ChildProcess silo, string path) => JsonNode.Parse(await silo.Client.GetStringAsync(path))!;

    private static StringContent Json(string body) => new(body, Encoding.UTF8, "application/json");

    private sealed class Folders(int count) : IDisposable
    {
        private readonly StateFolder[] _folders = [.. Enumerable.Range(0, count).Select(_ => new StateFolder())];

        public string this[int place] => _folders[place].Path;

        public void Dispose() => Array.ForEach(_folders, folder => folder.Dispose());
    }
}
