using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization;
using RecBackend.Http.Cluster;

namespace RecBackend.Gateway.Cluster;

/// <summary>
/// Asks one silo each second who is there, a known one or a seed, and the next one if it does not answer. If none does, the silos that were known last stay: an outage of the question must not become one
/// of the service, and silos that are really gone are taken out by their probes.
/// </summary>
internal sealed partial class ClusterPoll(
    ClusterOptions options, FollowedCluster cluster, IConfiguration configuration, TimeProvider clock, ILogger<ClusterPoll> log) : BackgroundService
{
    // A silo may have to ask the others, one of which may just have died.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly HttpClient _client = new(new SocketsHttpHandler
    {
        // So that a silo that is gone does not keep the next from being asked.
        ConnectTimeout = TimeSpan.FromMilliseconds(500),

        // A seed may be a name for several silos, which changes.
        PooledConnectionLifetime = TimeSpan.FromMinutes(1),
        AllowAutoRedirect = false,
        UseProxy = false,
    })
    {
        Timeout = Patience,
        MaxResponseContentBufferSize = 4 * 1024 * 1024,
    };

    private bool _told;

    public override void Dispose()
    {
        _client.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            await PollAsync(stoppingToken);

            // A quarter more or less, so that gateways that were started together do not ask together for ever.
            await Task.Delay(options.Poll * (0.75 + (Random.Shared.NextDouble() / 2)), clock, stoppingToken);
        }
    }

    private async Task PollAsync(CancellationToken cancellation)
    {
        var refusal = "";
        foreach (var address in Addresses())
        {
            try
            {
                var silos = Silo.Of(await AskAsync(address, cancellation));
                if (silos.Count == 0)
                {
                    refusal = $"{address} names no silo that has an address and a role";
                    continue;
                }

                _told = false;
                if (cluster.Follow(silos))
                {
                    log.LogInformation("Silos: {Silos}", string.Join(", ", silos.Select(Words)));
                }

                return;
            }
            catch (Exception e) when (!cancellation.IsCancellationRequested)
            {
                // Whatever it is that a stranger answers: it must not end the gateway.
                refusal = $"{address}: {e.Message}";
            }
        }

        if (!_told)
        {
            _told = true;
            log.LogError("No silo tells who is in the cluster; those that were known last are kept ({Count}). {Reason}", cluster.Silos.Count, refusal);
        }
    }

    /// <summary>The silos that are known, in any order, so that none is asked for all gateways, nor believed for ever if it is cut off from the others; those that go last; then the seeds.</summary>
    private IEnumerable<Uri> Addresses()
    {
        var known = cluster.Silos.ToArray();
        Random.Shared.Shuffle(known);
        return known.OrderBy(silo => silo.Draining).Select(silo => silo.Address).Concat(options.Seeds).Distinct();
    }

    private async Task<ClusterReply> AskAsync(Uri silo, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"{silo.ToString().TrimEnd('/')}/v1/cluster"));
        if (configuration[ClusterOptions.KeySetting] is { Length: > 0 } key)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
        }

        using var response = await _client.SendAsync(request, cancellation);
        if (response.StatusCode is System.Net.HttpStatusCode.Unauthorized or System.Net.HttpStatusCode.Forbidden)
        {
            throw new HttpRequestException($"It answers {(int)response.StatusCode}: {ClusterOptions.KeySetting} must be a key of scope admin.");
        }

        response.EnsureSuccessStatusCode();
        return await JsonSerializer.DeserializeAsync(await response.Content.ReadAsStreamAsync(cancellation), ClusterJson.Default.ClusterReply, cancellation)
            ?? throw new JsonException("The answer is null.");
    }

    private static string Words(Silo silo) =>
        $"{silo.Name} at {silo.Address} ({(silo.Scores ? "scoring" : "entity")}{(silo.Draining ? ", draining" : silo.Ready ? "" : ", not ready")})";

    /// <summary>Unlike the hosts' own reading, it lets members pass that it does not know: silos may be newer than their gateway.</summary>
    [JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
    [JsonSerializable(typeof(ClusterReply))]
    private sealed partial class ClusterJson : JsonSerializerContext;
}
