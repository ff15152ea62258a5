using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using RecBackend.Cluster.Tests.Hosting;
using RecBackend.Cluster.Tests.Silo;
using RecBackend.Server.Tests.Hosting;

namespace RecBackend.Cluster.Tests.Faults;

/// <summary>Three silos and a gateway as processes, under a load of rankings and of events, each of which is sent again until it is acknowledged.</summary>
internal sealed class LoadedCluster : IAsyncDisposable
{
    private const int Users = 40;
    private const int Writers = 6;
    private const int Rankers = 3;

    private readonly Backing _backing;
    private readonly string _name = $"t{Guid.NewGuid():n}";
    private readonly StateFolder[] _states;
    private readonly ChildProcess?[] _silos;
    private readonly ConcurrentDictionary<string, (string User, string Item)> _acknowledged = new();
    private readonly CancellationTokenSource _stop = new();
    private ChildProcess _gateway = null!;
    private List<Task> _load = [];
    private int _rankings;
    private int _resent;

    private LoadedCluster(Backing backing, int silos)
    {
        _backing = backing;
        _states = [.. Enumerable.Range(0, silos).Select(_ => new StateFolder())];
        _silos = new ChildProcess?[silos];
    }

    /// <summary>The silos that run.</summary>
    public IReadOnlyList<ChildProcess> Silos => [.. _silos.OfType<ChildProcess>()];

    /// <summary>Calls go here.</summary>
    public HttpClient Gateway => _gateway.Client;

    /// <summary>Acknowledged events.</summary>
    public int Acknowledged => _acknowledged.Count;

    /// <summary>Rankings so far.</summary>
    public int Rankings => _rankings;

    /// <summary>Calls with an event that got something other than a 2xx, and were sent again.</summary>
    public int Resent => _resent;

    /// <summary>Rankings that got something other than all candidates: when they were sent, and what came.</summary>
    public ConcurrentQueue<(long Sent, string What)> Failures { get; } = new();

    /// <summary>Rankings that the fallback answered: when they were sent.</summary>
    public ConcurrentQueue<long> Fallbacks { get; } = new();

    /// <summary>Starts it.</summary>
    public static async Task<LoadedCluster> StartAsync(Backing backing, int silos = 3)
    {
        var cluster = new LoadedCluster(backing, silos);
        try
        {
            for (var silo = 0; silo < silos; silo++)
            {
                var started = await cluster.StartSiloAsync(silo, withModel: silo > 0);
                if (silo == 0)
                {
                    await TinyModel.ActivateAsync(started);
                    await TinyModel.LoadItemsAsync(started);
                }
            }

            cluster._gateway = await ChildProcess.Start(Checkout.Gateway, _ =>
                ["--RecBackend:Development", "true", .. cluster.Silos.SelectMany((silo, place) => new[] { $"--RecBackend:Gateway:Cluster:Seeds:{place}", silo.Address.ToString() })]).ReadyAsync();
            cluster._load =
            [
                .. Enumerable.Range(0, Writers).Select(writer => Task.Run(() => cluster.WriteAsync(writer))),
                .. Enumerable.Range(0, Rankers).Select(ranker => Task.Run(() => cluster.RankAsync(ranker))),
            ];
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a silo, with the state folder of the one before.</summary>
    public async Task<ChildProcess> StartSiloAsync(int place, bool withModel = true)
    {
        if (_silos[place] is { } before)
        {
            await before.DisposeAsync();
        }

        var silo = _silos[place] = SiloProcess.Start(_backing, _name, _states[place].Path, "entity", "scoring");
        if (withModel)
        {
            await silo.ReadyAsync();
        }
        else
        {
            await TinyModel.ListeningAsync(silo);
        }

        return silo;
    }

    /// <summary>Waits until so many more events are acknowledged.</summary>
    public async Task AcknowledgeAsync(int more)
    {
        var count = _acknowledged.Count + more;
        for (var tries = 0; tries < 1_800 && _acknowledged.Count < count; tries++)
        {
            await Task.Delay(100);
        }

        Assert.True(_acknowledged.Count >= count, $"Only {_acknowledged.Count} events were acknowledged after three minutes, not {count}.");
    }

    /// <summary>Ends the load.</summary>
    public async Task StopLoadAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_load);
    }

    /// <summary>Each acknowledged event counts once for its user and for its item, whichever silo is asked.</summary>
    public async Task AssertCountsAsync()
    {
        foreach (var silo in Silos)
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
    }

    /// <summary>The catalogue of every silo comes to the versions of the stored items.</summary>
    public async Task AssertConvergedAsync()
    {
        JsonNode reply = null!;
        for (var tries = 0; tries < 150; tries++)
        {
            await Task.Delay(tries == 0 ? 0 : 200);
            reply = await GetAsync(Silos[0], "/v1/cluster?items=true");
            var silos = reply["silos"]!.AsArray();
            if (silos.Count == _silos.Length && silos.All(silo => (string?)silo!["catalog_digest"] == (string)reply["items"]!["digest"]! && (int)silo["items"]! == (int)reply["items"]!["count"]!))
            {
                return;
            }
        }

        Assert.Fail($"The catalogues did not converge: {reply.ToJsonString()}");
    }

    /// <summary>Asks a silo.</summary>
    public static async Task<JsonNode> GetAsync(ChildProcess silo, string path) => JsonNode.Parse(await silo.Client.GetStringAsync(path))!;

    /// <summary>A body.</summary>
    public static StringContent Json(string body, string type = "application/json") => new(body, Encoding.UTF8, type);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_load).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var process in Silos.Append(_gateway).OfType<ChildProcess>())
        {
            await process.DisposeAsync();
        }

        Array.ForEach(_states, state => state.Dispose());
        _stop.Dispose();
    }

    private async Task WriteAsync(int writer)
    {
        for (var number = 0; !_stop.IsCancellationRequested; number++)
        {
            var (id, user, item) = ($"e{writer}-{number}", $"u{number % Users}", string.Create(CultureInfo.InvariantCulture, $"i{1 + (number % 20):00}"));
            var body = $$"""{"event_id":"{{id}}","type":"click","user":"{{user}}","item":"{{item}}","timestamp":1700000000}""";
            for (var tries = 0; ; tries++)
            {
                Assert.InRange(tries, 0, 300);
                try
                {
                    using var response = await Gateway.PostAsync("/v1/events", Json(body), CancellationToken.None);
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

                Interlocked.Increment(ref _resent);
                await Task.Delay(100, CancellationToken.None);
            }
        }
    }

    private async Task RankAsync(int ranker)
    {
        var items = string.Join(',', Enumerable.Range(1, 20).Select(item => string.Create(CultureInfo.InvariantCulture, $"\"i{item:00}\"")));
        for (var number = 0; !_stop.IsCancellationRequested; number++)
        {
            Interlocked.Increment(ref _rankings);
            var sent = Stopwatch.GetTimestamp();
            try
            {
                using var response = await Gateway.PostAsync("/v1/rank", Json($$"""{"user":"u{{(number + ranker) % Users}}","items":[{{items}}]}"""), CancellationToken.None);
                var text = await response.Content.ReadAsStringAsync(CancellationToken.None);
                if (!response.IsSuccessStatusCode)
                {
                    Failures.Enqueue((sent, $"{(int)response.StatusCode} {text}"));
                }
                else if (JsonNode.Parse(text)! is var reply && reply["items"]!.AsArray().Count != 20)
                {
                    Failures.Enqueue((sent, $"not all ranked: {text}"));
                }
                else if ((string)reply["mode"]! != "model")
                {
                    Fallbacks.Enqueue(sent);
                }
            }
            catch (HttpRequestException error)
            {
                Failures.Enqueue((sent, error.Message));
            }
        }
    }
}
